"""The tutorial: every command in it runs, and what it says of the outcome is true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from foundation.home import CHECKOUT

TUTORIAL = CHECKOUT / "docs" / "tutorial.md"
# It starts and does not end; --check starts the same, looks whether it answers, and ends.
STAND_INS = {"make up": "quarterdeck up --check --no-browser"}


@dataclass(frozen=True, slots=True)
class Step:
    """A block of commands, and the lines that the tutorial says come out of it."""

    commands: str
    outcome: tuple[str, ...]


def read_steps(text: str) -> list[Step]:
    steps: list[Step] = []
    for kind, body in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if kind == "sh":
            steps.append(Step(body, ()))
        elif kind == "text":
            steps[-1] = Step(steps[-1].commands, (*steps[-1].outcome, *body.splitlines()))
        else:
            pytest.fail(f"a block of {kind}: this test does not know what to do with it")
    return steps


def normal(text: str) -> str:
    """Return text as a person reads it: one space for many, no frame of a table."""
    return " ".join(re.sub(r"[─│╭╮╰╯]", " ", text).split())


def test_every_command_runs_and_every_stated_outcome_is_true(home: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "examples").symlink_to(CHECKOUT / "examples")
    programs = Path(sys.executable).parent
    (work / ".venv").symlink_to(programs.parent)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(CHECKOUT),
        "COLUMNS": "200",
    }
    steps = read_steps(TUTORIAL.read_text())
    assert len(steps) > 8
    for step in steps:
        commands = STAND_INS.get(step.commands.strip(), step.commands)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=work,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}"
        # Addresses in the text are those of a person in the checkout.
        said = normal(done.stdout.replace(f"{work}/", ""))
        for line in step.outcome:
            assert normal(line) in said, (
                f"{commands}\nmust print: {line}\nbut printed:\n{done.stdout}"
            )


def test_links_of_the_tutorial_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TUTORIAL.read_text()):
        assert (TUTORIAL.parent / target).exists(), target

"""The house rules that no linter knows: pins, names of places, layout."""

import ast
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from foundation.home import CHECKOUT

PYPROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
LOCKS = ("requirements.lock", "deploy/bootstrap.lock")
NAMED_BY_THE_USER = (
    "dagster", "duckdb", "polars", "pandas-ta", "quickfix", "faust-streaming", "sqlalchemy",
    "streamlit", "plotly", "pytest",
)  # fmt: skip


def _committed() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [CHECKOUT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def _pins(lock: str) -> dict[str, str]:
    """Return each pinned package with everything that its entry says."""
    text = (CHECKOUT / lock).read_text()
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)
    return {
        re.split(r"[=\[;\s]", entry, maxsplit=1)[0]: entry for entry in entries if entry.strip()
    }


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_with_hashes(lock: str) -> None:
    pins = _pins(lock)
    assert pins
    for name, entry in pins.items():
        assert re.match(r"[a-z0-9.-]+(\[[a-z0-9,-]+\])?==[0-9]", entry), name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), name


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_address(lock: str) -> None:
    text = (CHECKOUT / lock).read_text()
    assert not re.search(r"https?:|file:| @ |--index|--extra-index|--find-links|--trusted", text)


def test_everything_the_user_named_is_in_the_lock() -> None:
    assert set(NAMED_BY_THE_USER) <= set(_pins("requirements.lock"))


def test_lock_has_every_dependency_of_the_project() -> None:
    project = PYPROJECT["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.split(r"[<>=!\[;\s]", entry, maxsplit=1)[0].lower() for entry in wanted}
    assert names <= set(_pins("requirements.lock"))


def test_every_dependency_says_why_it_is_there() -> None:
    lines = (CHECKOUT / "pyproject.toml").read_text().splitlines()
    start = lines.index("dependencies = [")
    end = lines.index("dev = [") + 1
    end += lines[end:].index("]")
    without = [
        line
        for line in lines[start:end]
        if re.match(r'\s+"', line) and not re.search(r",\s+# \w", line)
    ]
    assert without == []


def test_committed_files_name_no_place_of_one_machine() -> None:
    # Put together here, so that this file doesn't name them either.
    forbidden = re.compile(
        "|".join(
            [
                r"(?<![\w.}])/" + r"work/",
                r"(?<![\w.}])/" + r"root/",
                r"\." + "library",
                "files." + "pythonhosted",
                "pypi" + r"\.org",
            ]
        ).encode()
    )
    found = {
        f"{path.relative_to(CHECKOUT)}: {match.group().decode()}"
        for path in _committed()
        if (match := forbidden.search(path.read_bytes()))
    }
    assert found == set()


def test_nothing_generated_is_committed() -> None:
    names = [path.relative_to(CHECKOUT).as_posix() for path in _committed()]
    generated = re.compile(r"(^|/)(uv\.lock|\.venv|\.quarterdeck|__pycache__|[^/]*\.egg-info)(/|$)")
    assert [name for name in names if generated.search(name)] == []


def _packages() -> list[str]:
    return sorted(path.parent.name for path in CHECKOUT.glob("*/__init__.py"))


def test_every_package_is_installed_and_checked_for_its_imports() -> None:
    installed = PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    layered = PYPROJECT["tool"]["importlinter"]["root_packages"]
    for name in _packages():
        assert f"{name}*" in installed or name == "tests"
        assert name in layered or name in ("bench", "tests")


def test_every_package_says_what_it_owns() -> None:
    for name in _packages():
        said = ast.get_docstring(ast.parse((CHECKOUT / name / "__init__.py").read_text()))
        assert said, name
        assert len(said.splitlines()) >= 3, f"{name}/__init__.py says too little"


def test_no_file_is_a_drawer_for_everything() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    names = [path for path in _committed() if path.suffix == ".py"]
    assert [str(path) for path in names if vague & {path.stem, path.parent.name}] == []


def test_make_up_and_test_see_to_the_environment_first() -> None:
    # Under `make test` this make would be a part of that one and say so first.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    for target in ("up", "test", "check", "bench"):
        plan = subprocess.run(
            ["make", "--dry-run", target],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        assert plan.stdout.splitlines()[0] == "deploy/setup.sh", target


def test_readme_begins_with_the_two_commands() -> None:
    readme = (CHECKOUT / "README.md").read_text()
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    commands = [line.split("#")[0].strip() for line in blocks[0].splitlines()]
    assert commands == ["make up", "make test"]

"""Running the command: in this process where that tells enough, else as a process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from foundation.home import CHECKOUT
from launcher import command
from market_data.sample_set import load_sample
from market_data.store import Store


@dataclass(frozen=True, slots=True)
class Answer:
    """What the command gave back."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of an error; anything else on the standard error fails."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        return lines[0].removeprefix("error: ")


Run = Callable[..., Answer]


def link_kernels(home: Path) -> None:
    """Let a home use the kernels that are compiled already, which takes minutes otherwise."""
    compiled = Path(os.environ["NUMBA_CACHE_DIR"]).parent
    compiled.mkdir(parents=True, exist_ok=True)
    (home / "kernels").symlink_to(compiled)


@pytest.fixture(scope="session")
def _sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "home"
    load_sample(Store(folder))
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _sample: Path) -> Path:
    """Make a data home with the sample set."""
    folder = tmp_path / "home"
    shutil.copytree(_sample, folder)
    link_kernels(folder)
    monkeypatch.setenv("QUARTERDECK_HOME", str(folder))
    return folder


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process."""
    # numba has its folder already here, and the home's is a link to it.
    monkeypatch.setattr(command, "use_kernel_cache", lambda home: home)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str | Path) -> Answer:
        monkeypatch.setattr(sys, "argv", ["quarterdeck", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            command.main()
        captured = capsys.readouterr()
        code = left.value.code
        assert isinstance(code, int)
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture
def start(home: Path) -> Run:
    """Run the command as a process of its own."""

    def call(*arguments: str | Path, **more: object) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "launcher.command", *map(str, arguments)],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
            **more,  # type: ignore[call-overload]
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return call


STRATEGY = """
name: reversal
timeframe: 1d
instruments: [AAPL]
parameters:
  length: {default: 14, low: 2, high: 30, step: 1}
  oversold: {default: 30, low: 10, high: 45, step: 5}
indicators:
  rsi: rsi(close, $length)
enter_long: rsi < $oversold
exit_long: rsi > 70
execution:
  size: {equity_fraction: 0.9}
"""


@pytest.fixture
def strategy(tmp_path: Path) -> Path:
    """Write a strategy that trades on the sample bars of AAPL."""
    path = tmp_path / "reversal.yaml"
    path.write_text(STRATEGY)
    return path

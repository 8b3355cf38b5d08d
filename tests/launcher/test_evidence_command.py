"""`quarterdeck evidence` and `versions`: examined, recorded, laid side by side."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import research.backtest
from tests.launcher.conftest import Run

QUICK = ("--cuts", "2", "--starts", "1", "--start", "2008-01-02")


def test_evidence_of_an_honest_strategy_passes_and_is_listed(run: Run, strategy: Path) -> None:
    answer = run("evidence", strategy, *QUICK)
    assert answer.code == 0
    assert answer.err == ""
    for word in ("look-ahead", "warm-up", "robustness", "passed", "Evidence: "):
        assert word in answer.out
    told = json.loads(run("versions", "list", "--json").out)
    assert [one["strategy"] for one in told] == ["reversal"]
    assert {kind: one["passed"] for kind, one in told[0]["evidence"].items()} | {
        "robustness": True
    } == {"look_ahead": True, "recursion": True, "robustness": True}
    assert told[0]["stage"] == "draft"
    listed = run("versions", "list")
    assert "reversal" in listed.out
    assert listed.out.count("passed") == 2


def test_evidence_as_json_is_the_file_that_was_written(run: Run, strategy: Path) -> None:
    told = json.loads(run("evidence", strategy, *QUICK, "--json", "--no-record").out)
    directory = Path(told.pop("directory"))
    assert told == json.loads((directory / "evidence.json").read_bytes())
    assert json.loads(run("versions", "list", "--json").out) == []


def test_evidence_takes_the_hash_of_a_stored_version(run: Run, strategy: Path) -> None:
    run("backtest", strategy, "--no-report")
    version = json.loads(run("versions", "list", "--json").out)[0]["version_hash"]
    told = json.loads(run("evidence", version[:8], *QUICK, "--json").out)
    assert told["version_hash"] == version
    assert json.loads(run("versions", "list", "--json").out)[0]["stage"] == "backtested"


def test_evidence_of_a_look_ahead_is_an_error_that_names_it(
    run: Run, strategy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = research.backtest.build_feed

    def peeking(linker, bars, **options):  # type: ignore[no-untyped-def]
        feed = honest(linker, bars, **options)
        feed.matrix[5:, :-1] = feed.matrix[5:, 1:]
        return feed

    monkeypatch.setattr(research.backtest, "build_feed", peeking)
    answer = run("evidence", strategy, *QUICK)
    assert answer.code == 1
    assert answer.error.startswith("it looks ahead: AAPL: indicator rsi at ")
    told = json.loads(run("versions", "list", "--json").out)[0]["evidence"]["look_ahead"]
    assert told["passed"] is False
    assert told["figures"]["first_difference"] in answer.error


def test_evidence_of_nothing_is_an_error(run: Run, strategy: Path, tmp_path: Path) -> None:
    assert run("evidence", tmp_path / "none.yaml").code == 1
    assert "no bars of NONE" in run("evidence", strategy, "--symbol", "NONE").error
    full = tmp_path / "full"
    full.mkdir()
    (full / "letter.txt").write_text("dear")
    assert "holds other files than a result" in run("evidence", strategy, "--out", full).error


def test_versions_are_compared_as_text_page_and_table(
    run: Run, strategy: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(strategy.read_text().replace("rsi > 70", "rsi > 60"))
    for path in (strategy, other):
        assert run("backtest", path, "--no-report").code == 0
    page = tmp_path / "page"
    answer = run("versions", "compare", strategy, other, "--html", "--parquet", "--out", page)
    assert answer.code == 0
    assert answer.err == ""
    assert "document: exit_long" in answer.out
    html = (page / "versions.html").read_text()
    assert "rsi &gt; 60" in html
    table = pl.read_parquet(page / "versions.parquet")
    told = json.loads(run("versions", "compare", strategy, other, "--json").out)
    assert table["result"].unique(maintain_order=True).to_list() == told["labels"]
    assert told["unlike"] == []
    assert told["figures"][0]["changes"][0] == ""
    # The old name of the command does the same.
    assert json.loads(run("compare", strategy, other, "--json").out) == told


def test_unlike_runs_are_warned_of(run: Run, strategy: Path, tmp_path: Path) -> None:
    for name, symbol in (("one", "AAPL"), ("other", "MSFT")):
        run("backtest", strategy, "--symbol", symbol, "--out", tmp_path / name, "--no-report")
    answer = run("compare", tmp_path / "one", tmp_path / "other")
    assert "warning: The results are of other instruments: AAPL, MSFT." in answer.err
    assert run("compare", tmp_path / "one").code == 2
    assert "is no folder of a result" in run("compare", tmp_path / "one", "nothing").error


@pytest.mark.parametrize("command", ["compare", "list"])
def test_help_of_the_commands_on_versions_shows_an_example(run: Run, command: str) -> None:
    answer = run("versions", command, "--help")
    assert answer.code == 0
    assert "Example: quarterdeck" in answer.out


def test_a_backtest_imports_nothing_of_the_checks(start: Run, strategy: Path) -> None:
    program = (
        "import sys; sys.argv = ['quarterdeck', 'backtest', sys.argv[1], '--no-report'];"
        "from launcher.command import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([n for n in sys.modules if n in ('research.look_ahead', 'research.recursion',"
        " 'research.evidence', 'plotly')])"
    )
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", program, str(strategy)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"

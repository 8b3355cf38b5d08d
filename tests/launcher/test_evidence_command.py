"""`quarterdeck evidence` and `versions`: examined, recorded, laid side by side."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import research.backtest
from tests.launcher.conftest import Run

QUICK = ("--cuts", "8", "--starts", "1", "--start", "2008-01-02")


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


def test_evidence_is_made_on_the_bars_of_the_latest_backtest(run: Run, strategy: Path) -> None:
    run("backtest", strategy, "--no-report", "--symbol", "MSFT", "--start", "2010-01-04")
    (backtest,) = json.loads(run("runs", "--json").out)
    told = json.loads(run("evidence", strategy, *QUICK[:4], "--json").out)
    assert told["instruments"] == ["MSFT"]
    assert told["data_fingerprint"] == backtest["data_fingerprint"]
    shown = run("versions", "show", strategy)
    assert shown.code == 0
    assert "Next: paper trading; its evidence is there" in shown.out
    assert f"Latest backtest: run {backtest['run_id']}, MSFT" in shown.out
    # Other bars are examined on request, under a warning, and change nothing.
    other = run("evidence", strategy, *QUICK)
    assert "warning: these are other bars than those of its latest backtest" in other.err
    assert json.loads(run("versions", "show", strategy, "--json").out)["lacks"] == []


def test_all_versions_that_lack_evidence_are_examined_at_once(
    run: Run, strategy: Path, tmp_path: Path
) -> None:
    assert "every backtested version has its evidence" in run("evidence").out
    other = tmp_path / "other.yaml"
    other.write_text(strategy.read_text().replace("rsi > 70", "rsi > 60"))
    for path in (strategy, other):
        run("backtest", path, "--no-report", "--start", "2010-01-04")
    lacking = run("versions", "show", other)
    assert lacking.code == 1
    assert "it lacks look-ahead and recursion; run `quarterdeck evidence`" in lacking.out
    answer = run("evidence", "--cuts", "8", "--starts", "1")
    assert answer.code == 0, answer.err
    assert answer.out.count("passed") == 4
    assert json.loads(run("evidence", "--json").out) == []
    states = [
        {kind: held["state"] for kind, held in one["evidence"].items()}
        for one in json.loads(run("versions", "list", "--json").out)
    ]
    assert [(one["look_ahead"], one["recursion"]) for one in states] == [("passed", "passed")] * 2


def test_a_version_whose_bars_are_gone_keeps_no_other_from_its_examination(
    run: Run, strategy: Path, tmp_path: Path
) -> None:
    run("backtest", strategy, "--no-report", "--start", "2010-01-04")
    bars = tmp_path / "bars.csv"
    rows = [f"2010-01-{day:02},10,11,9,10,1000" for day in (4, 5, 6, 7, 8)]
    bars.write_text("\n".join(["date,open,high,low,close,volume", *rows]) + "\n")
    other = tmp_path / "other.yaml"
    other.write_text(
        "name: other\ntimeframe: 1d\ninstruments: [ACME]\nenter_long: close > 1\nexit_long: close < 1\n"
    )
    done = run("backtest", other, "--bars", bars, "--symbol", "ACME", "--calendar", "XNYS")
    assert done.code == 0, done.err
    bars.unlink()
    answer = run("evidence", "--cuts", "8", "--starts", "1", "--json")
    assert answer.code == 1
    assert "no file of bars at" in answer.error
    told = {one.get("strategy", ""): one for one in json.loads(answer.out)}
    assert told["reversal"]["passed"] is True
    assert "no file of bars at" in told[""]["error"]


def test_options_on_bars_need_a_version(run: Run, tmp_path: Path) -> None:
    for options in (("--symbol", "AAPL"), ("--out", tmp_path / "x"), ("--cash", "5")):
        answer = run("evidence", *options)
        assert answer.code == 2
        assert "name a version" in answer.err


def test_a_draft_is_shown_with_what_it_needs(run: Run, strategy: Path) -> None:
    run("evidence", strategy, *QUICK)
    shown = run("versions", "show", strategy)
    assert shown.code == 1
    assert "stage draft" in shown.out
    assert "Next: a backtest with its own parameters" in shown.out
    assert "no strategy version" in run("versions", "show", "123456789").error


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


@pytest.mark.parametrize("command", ["compare", "list", "show"])
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

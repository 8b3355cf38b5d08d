"""`quarterdeck optimise`, `walk-forward`, `monte-carlo`, `holdout` and the choice of `sweep`."""

from __future__ import annotations

import json
import re

import pytest

SETS = ("--set", "length=6:18:2", "--set", "oversold=20:40:5")


def test_sweep_shows_plateau_and_peak_and_what_they_are_worth(run, strategy):
    done = run("sweep", strategy, *SETS)
    assert done.code == 0
    assert re.search(r"^ +plateau +\d+ +\d+ ", done.out, re.MULTILINE)
    assert re.search(r"^ +peak +\d+ +\d+ ", done.out, re.MULTILINE)
    assert "three quarters of the" in done.out
    assert re.search(r"sets on record +35\b", done.out)
    peak = run("sweep", strategy, *SETS, "--choose", "peak")
    assert "plateau  " not in peak.out
    choice = json.loads(run("sweep", strategy, *SETS, "--json").out)["choice"]
    assert choice["peak"]["sharpe"] >= choice["plateau"]["sharpe"]
    assert choice["trials"]["n_studies"] == 1


def test_walk_forward_prints_each_window_and_writes_its_page(run, strategy, home):
    done = run("walk-forward", strategy, *SETS, "--windows", "4", "--min-trades", "1")
    assert done.code == 0
    assert len(re.findall(r"^ +\d +\d{4}-\d\d-\d\d to ", done.out, re.MULTILINE)) == 4
    assert "deflated Sharpe" in done.out
    (page,) = home.glob("studies/reversal/*/study.html")
    assert f"Page: {page}" in done.out
    about = json.loads(
        run("walk-forward", strategy, *SETS, "--windows", "4", "--min-trades", "1", "--json").out
    )
    assert about["directory"] == str(page.parent)
    assert about["trials"]["n_studies"] == 1
    assert len(about["windows"]) == 4


def test_optimise_gives_the_same_answer_for_the_same_seed(run, strategy, home):
    options = ("--trials", "30", "--batch", "10", "--seed", "4", "--json")
    one, two = (run("optimise", strategy, *options) for _ in range(2))
    assert one.code == 0
    assert one.out == two.out
    about = json.loads(one.out)
    assert about["n_complete"] + about["n_pruned"] + about["n_repeated"] == 30
    text = run("optimise", strategy, *options[:-1])
    assert "plateau" in text.out
    assert "Sharpe ratio of luck" in text.out


def test_monte_carlo_of_a_result(run, strategy, tmp_path):
    result = tmp_path / "result"
    assert run("backtest", strategy, "--no-report", "--out", result).code == 0
    options = ("--orders", "300", "--noise", "5", "--out", tmp_path / "mc")
    done = run("monte-carlo", result, *options)
    assert done.code == 0
    for kind in ("shuffled", "drawn", "noise"):
        assert re.search(rf"^ +{kind} +", done.out, re.MULTILINE)
    assert (tmp_path / "mc" / "study.html").is_file()


def test_locked_period_is_left_out_refused_opened_and_shown(run, strategy):
    assert run("holdout", "show").out == "no period is locked\n"
    locked = json.loads(run("holdout", "lock", strategy, "--as", "ada", "--json").out)
    first = locked["first_session"]
    swept = json.loads(run("sweep", strategy, *SETS, "--json").out)
    assert swept["end"] < first
    assert f"sessions from {first} on are locked" in swept["choice"]["notes"][0].lower()
    for command in ("sweep", "optimise", "walk-forward"):
        refused = run(command, strategy, *SETS, "--end", first)
        assert refused.code == 1
        assert "are locked, and end is" in refused.error
    opened = run(
        "holdout", "open", strategy, "--set", "length=10", "--why", "before paper", "--as", "bob"
    )
    assert opened.code == 0
    assert "The locked period was opened once" in opened.out
    shown = run("holdout", "show")
    assert "opened once" in shown.out
    assert "before paper" in shown.out
    (found,) = json.loads(run("holdout", "show", "--json").out)
    assert found["openings"][0]["opened_by"] == "bob"


@pytest.mark.parametrize("record", ["--record", "--no-record"])
def test_a_backtest_over_locked_sessions_counts_as_a_look_recorded_or_not(
    run, strategy, tmp_path, record
):
    run("holdout", "lock", strategy)
    assert run("backtest", strategy, "--no-report", record, "--out", tmp_path / "r").code == 0
    (found,) = json.loads(run("holdout", "show", "--json").out)
    assert found["n_openings"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("optimise", "--by", "luck"), 1, "unknown figure 'luck'"),
        (("walk-forward", "--windows", "5000"), 1, "5000 windows of"),
        (("walk-forward", "--min-trades", "100000"), 1, "in no window a set has a sharpe"),
        (("holdout", "open", "--why", "x"), 1, "nothing of reversal on AAPL is locked"),
        (("optimise", "--prune", "sometimes"), 2, "sometimes"),
        (("holdout", "open"), 2, "--why"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run, strategy, arguments, code, message):
    words = 2 if arguments[0] == "holdout" else 1
    done = run(*arguments[:words], strategy, *arguments[words:])
    assert done.code == code
    assert message in done.err
    assert "Traceback" not in done.err


def test_folder_with_other_files_is_not_replaced(run, strategy, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    for command in ("optimise", "walk-forward"):
        refused = run(command, strategy, *SETS, "--out", tmp_path / "mine")
        assert refused.code == 1
        assert "holds other files than a result" in refused.error
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "dear"


@pytest.mark.parametrize("command", ["optimise", "walk-forward", "monte-carlo", "holdout"])
def test_help_shows_an_example(run, command):
    arguments = (command, "lock", "--help") if command == "holdout" else (command, "--help")
    done = run(*arguments)
    assert done.code == 0
    assert f"Example: quarterdeck {command}" in " ".join(done.out.split())


@pytest.mark.parametrize(
    "command",
    [
        ("backtest", "--no-report"),
        ("backtest", "--no-report", "--no-record", "--start", "2012-01-03", "--end", "2012-06-01"),
        ("backtest", "--no-report", "--no-record", "--symbol", "AAPL", "--set", "length=9"),
        ("evidence", "--cuts", "1", "--starts", "1"),
        ("evidence", "--cuts", "1", "--starts", "1", "--no-record"),
    ],
)
def test_no_command_sees_locked_sessions_without_a_record(run, strategy, tmp_path, command):
    first = json.loads(run("holdout", "lock", strategy, "--json").out)["first_session"]
    assert first < "2012-01-03"
    run(command[0], strategy, *command[1:], "--out", tmp_path / "out")
    (found,) = json.loads(run("holdout", "show", "--json").out)
    assert found["n_openings"] == 1
    before = run(
        command[0], strategy, *(c for c in command[1:] if c not in ("--start", "2012-01-03")),
        "--end", "2005-12-30", "--out", tmp_path / "before",
    )  # fmt: skip
    assert before.code in (0, 1)
    assert len(json.loads(run("holdout", "show", "--json").out)[0]["openings"]) == 1


def test_lock_says_what_was_seen_before(run, strategy, tmp_path):
    run("backtest", strategy, "--no-report", "--out", tmp_path / "r")
    run("sweep", strategy, *SETS)
    said = run("holdout", "lock", strategy).out
    assert "2 backtests and studies on record saw some of them before" in said


def test_monte_carlo_of_a_result_from_before_the_lock_is_a_look(run, strategy, tmp_path):
    assert run("backtest", strategy, "--no-report", "--out", tmp_path / "r").code == 0
    run("holdout", "lock", strategy)
    assert run("monte-carlo", tmp_path / "r", "--noise", "0", "--orders", "50").code == 0
    assert json.loads(run("holdout", "show", "--json").out)[0]["n_openings"] == 0
    assert run("monte-carlo", tmp_path / "r", "--noise", "2", "--orders", "50").code == 0
    (look,) = json.loads(run("holdout", "show", "--json").out)[0]["openings"]
    assert look["reason"] == "Monte Carlo over the locked sessions"


def test_backtest_without_a_record_of_its_look_writes_nothing(run, strategy, tmp_path, home):
    run("holdout", "lock", strategy)
    record = home / "quarterdeck.sqlite"
    record.write_bytes(b"damaged" * 1000)
    refused = run("backtest", strategy, "--no-report", "--no-record", "--out", tmp_path / "r")
    assert refused.code == 1
    assert "Traceback" not in refused.err
    assert not (tmp_path / "r").exists()

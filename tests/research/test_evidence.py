"""An examination as files and on record."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import research.backtest
import trading.feeding
from foundation.clock import FixedClock
from foundation.errors import DataError, NotPermitted, SpecError
from market_data.importing import import_file
from market_data.sample_set import load_sample
from market_data.store import Store
from research.backtest import ENGINE_VERSION, BacktestRequest, run_backtest
from research.documents import find_document
from research.evidence import (
    evidence_directory,
    examine,
    record_examination,
    request_like,
    why_not_counted,
    write_examination,
)
from research.recording import recorded_run
from research.writing import write_result
from strategies.evidence import latest_evidence, promote, versions_without_evidence
from strategies.lifecycle import EvidenceKind, Stage, Trigger
from strategies.runs import latest_own_run
from strategies.versions import get_version, save_version
from trading.document import canonical, load_document

DOCUMENT = """
name: trend
timeframe: 1d
instruments: [AAPL, MSFT]
indicators: {trend: "ema(close, 20)"}
enter_long: close > trend
exit_long: close < trend
costs: {slippage_bps: 1}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    made = Store(tmp_path_factory.mktemp("evidence") / "home")
    load_sample(made)
    return made


@pytest.fixture(scope="module")
def request_() -> BacktestRequest:
    return BacktestRequest(load_document(DOCUMENT))


@pytest.fixture(scope="module")
def examination(store, request_):
    return examine(request_, store, n_cuts=6, n_starts=2)


def test_files_tell_all_that_was_found(examination, tmp_path):
    about = write_examination(examination, tmp_path / "evidence")
    read = json.loads((tmp_path / "evidence" / "evidence.json").read_bytes())
    assert read == json.loads(json.dumps(about))
    assert read["passed"] is True
    assert set(read["checks"]) == {"look_ahead", "recursion", "robustness"}
    assert read["checks"]["look_ahead"]["n_cuts"] == 12
    assert read["instruments"] == ["AAPL", "MSFT"]
    rows = pq.read_table(tmp_path / "evidence" / "warm_up.parquet").to_pylist()
    multiples = [test["multiple"] for test in read["warm_up"]["tests"]]
    trend = [row for row in rows if row["name"] == "indicator trend"]
    assert [row["multiple"] for row in trend] == multiples
    differences = [row["difference_at_first_bar"] for row in trend]
    assert differences == sorted(differences, reverse=True)


def test_same_inputs_give_the_same_bytes(examination, store, request_, tmp_path):
    again = examine(request_, store, n_cuts=6, n_starts=2)
    assert again.examination_id == examination.examination_id
    for name, one in (("one", examination), ("other", again)):
        write_examination(one, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()
    assert examine(request_, store, n_cuts=5, n_starts=2).examination_id != again.examination_id


def test_default_place_is_by_strategy_and_examination(examination, tmp_path):
    expected = tmp_path / "evidence" / "trend" / examination.examination_id
    assert evidence_directory(None, tmp_path, examination) == expected
    assert evidence_directory(Path("x"), tmp_path, examination) == Path("x").absolute()


def test_recorded_examination_lets_its_version_go_to_paper(
    examination, store, request_, sqlite_engine, tmp_path
):
    backtest = run_backtest(request_, store)
    with recorded_run(sqlite_engine, backtest, tmp_path / "result", author="") as succeeded:
        succeeded(write_result(backtest, tmp_path / "result"))
    version = backtest.version
    (lacking,) = versions_without_evidence(sqlite_engine, engine_version=ENGINE_VERSION)
    assert lacking.version_hash == version
    clock = FixedClock(datetime(2024, 3, 8, tzinfo=UTC))
    stored = record_examination(
        sqlite_engine, examination, tmp_path / "evidence", author="ann", clock=clock
    )
    assert [one.kind for one in stored] == [
        EvidenceKind.LOOK_AHEAD, EvidenceKind.RECURSION, EvidenceKind.ROBUSTNESS,
    ]  # fmt: skip
    held = latest_evidence(sqlite_engine, version)
    assert held[EvidenceKind.LOOK_AHEAD].data_fingerprint == backtest.fingerprint
    assert held[EvidenceKind.RECURSION].figures["declared"] == {"1d": 19}
    assert versions_without_evidence(sqlite_engine, engine_version=ENGINE_VERSION) == []
    stage = promote(
        sqlite_engine, version, Trigger.PAPER_STARTED, engine_version=ENGINE_VERSION, clock=clock
    )
    assert stage is Stage.PAPER


def recorded(engine, request, store, folder):
    """Backtest, record it, and return the run as stored."""
    backtest = run_backtest(request, store)
    with recorded_run(engine, backtest, folder, author="") as succeeded:
        succeeded(write_result(backtest, folder))
    run = latest_own_run(engine, backtest.version)
    assert run is not None
    return run


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"symbols": ("MSFT",)},
        {"symbols": ("AAPL",), "start": date(2010, 1, 4), "end": date(2011, 6, 30)},
        {"start": date(2010, 1, 4), "warmup": False, "cash": 5_000.0},
    ],
)
def test_a_version_is_examined_on_the_bars_of_its_backtest(store, sqlite_engine, tmp_path, options):
    document = load_document(DOCUMENT)
    run = recorded(sqlite_engine, BacktestRequest(document, **options), store, tmp_path / "result")
    request, found = request_like(run, document, store.home)
    again = run_backtest(request, found)
    assert again.fingerprint == run.data_fingerprint
    assert (request.cash, request.warmup) == (
        options.get("cash", 100_000.0), options.get("warmup", True),
    )  # fmt: skip


def file_of_days(path: Path, n_days: int) -> Path:
    days = np.arange("2020-01-06", "2021-12-31", dtype="datetime64[D]")
    days = days[np.is_busday(days)][:n_days]
    rows = [f"{day},{9 + k % 7},{12 + k % 7},{8 + k % 7},{10 + k % 7},{100 + k}"
            for k, day in enumerate(days)]  # fmt: skip
    path.write_text("\n".join(["date,open,high,low,close,volume", *rows]) + "\n")
    return path


def test_bars_that_came_since_the_backtest_are_left_out(sqlite_engine, tmp_path):
    grown = Store(tmp_path / "home")
    document = load_document(DOCUMENT.replace("[AAPL, MSFT]", "[ACME]"))
    import_file(grown, file_of_days(tmp_path / "a.csv", 200), symbol="ACME", calendar="24/7")
    run = recorded(sqlite_engine, BacktestRequest(document), grown, tmp_path / "result")
    import_file(grown, file_of_days(tmp_path / "b.csv", 260), symbol="ACME", calendar="24/7")
    assert run_backtest(BacktestRequest(document), grown).fingerprint != run.data_fingerprint
    request, found = request_like(run, document, grown.home)
    assert run_backtest(request, found).fingerprint == run.data_fingerprint


def test_a_file_of_bars_is_found_from_elsewhere(sqlite_engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file_of_days(Path("ACME.csv"), 200)
    document = load_document(DOCUMENT.replace("[AAPL, MSFT]", "[ACME]"))
    request = BacktestRequest(document, source=Path("ACME.csv"), calendar="24/7")
    run = recorded(sqlite_engine, request, Store(tmp_path / "home"), tmp_path / "result")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again, found = request_like(run, document, tmp_path / "home")
    assert again.source == tmp_path / "ACME.csv"
    assert run_backtest(again, found).fingerprint == run.data_fingerprint
    (tmp_path / "ACME.csv").unlink()
    with pytest.raises(DataError, match="no file of bars at"):
        request_like(run, document, tmp_path / "home")


def test_an_examination_of_other_bars_counts_for_nothing_and_says_so(
    examination, store, sqlite_engine, tmp_path
):
    document = load_document(DOCUMENT)
    assert "not backtested yet" in why_not_counted(examination, None)
    whole = recorded(sqlite_engine, BacktestRequest(document), store, tmp_path / "one")
    assert why_not_counted(examination, whole) == ""
    short = BacktestRequest(document, symbols=("AAPL",))
    part = recorded(sqlite_engine, short, store, tmp_path / "other")
    assert f"latest backtest, run {part.run_id}" in why_not_counted(examination, part)
    record_examination(sqlite_engine, examination, tmp_path, author="")
    with pytest.raises(NotPermitted, match="look_ahead is of other bars than the latest backtest"):
        promote(
            sqlite_engine, part.version_hash, Trigger.PAPER_STARTED, engine_version=ENGINE_VERSION
        )


def peek_one_bar(monkeypatch) -> None:
    """Let every indicator show the value of the next bar."""
    honest = research.backtest.build_feed

    def peeking(linker, bars, **options):
        feed = honest(linker, bars, **options)
        feed.matrix[5:, :-1] = feed.matrix[5:, 1:]
        return feed

    monkeypatch.setattr(research.backtest, "build_feed", peeking)


def show_the_open_week(monkeypatch) -> None:
    """Let a week's bar be seen from its Monday on, with the prices of its Friday."""
    honest = trading.feeding.c.aggregate_nb

    def early(state, codes, source, bars, index):
        n = honest(state, codes, source, bars, index)
        week = np.unique(codes >> 2, return_inverse=True)[1]
        index[:] = np.minimum(week, n - 1)
        return n

    monkeypatch.setattr(trading.feeding.c, "aggregate_nb", early)


@pytest.mark.parametrize("cheat", [peek_one_bar, show_the_open_week])
def test_a_version_that_looks_ahead_is_not_promoted(
    cheat, store, sqlite_engine, tmp_path, monkeypatch
):
    text = DOCUMENT.replace('"ema(close, 20)"', '"ema(close, 5) @ 1w"')
    cheat(monkeypatch)
    request = BacktestRequest(load_document(text), symbols=("AAPL",))
    run = recorded(sqlite_engine, request, store, tmp_path / "result")
    found = examine(request, store, n_cuts=4, n_starts=1)
    assert not found.look_ahead.passed
    assert found.look_ahead.differences[0].what == "indicator trend"
    record_examination(sqlite_engine, found, tmp_path / "evidence", author="")
    with pytest.raises(NotPermitted, match="but look_ahead failed"):
        promote(
            sqlite_engine, run.version_hash, Trigger.PAPER_STARTED, engine_version=ENGINE_VERSION
        )
    assert get_version(sqlite_engine, run.version_hash).stage is Stage.BACKTESTED


def test_examining_alone_saves_the_version_as_a_draft(examination, sqlite_engine, tmp_path):
    record_examination(sqlite_engine, examination, tmp_path, author="")
    assert get_version(sqlite_engine, examination.backtest.version).stage is Stage.DRAFT


def test_progress_goes_from_nothing_to_all(store, request_):
    told = []
    examine(
        request_, store, n_cuts=2, n_starts=1,
        progress=lambda done, total, label="": told.append((done, total, label)),
    )  # fmt: skip
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert told[-1][:2] == (300, 300)
    assert {label.split()[0] for _, _, label in told} == {"look-ahead", "warm-up", "robustness"}


# What a text names.


def test_a_text_names_a_file_a_version_or_is_the_document(sqlite_engine, tmp_path):
    path = tmp_path / "trend.yaml"
    path.write_text(DOCUMENT)
    document = load_document(DOCUMENT)
    version = save_version(
        sqlite_engine, name="trend", document=canonical(document), author=""
    ).version_hash
    for text in (str(path), version, version[:8].upper(), DOCUMENT):
        assert canonical(find_document(text, sqlite_engine)) == canonical(document)
    assert find_document("examples/macd_trend.yaml", sqlite_engine).name == "macd-trend"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", SpecError, "is needed"),
        ("nowhere.yaml", SpecError, "no file 'nowhere.yaml'"),
        ("abcdef", DataError, "no strategy version 'abcdef'"),
    ],
)
def test_a_text_that_names_nothing_is_an_error(sqlite_engine, text, error, message):
    with pytest.raises(error, match=message):
        find_document(text, sqlite_engine)

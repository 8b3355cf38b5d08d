"""An examination as files and on record."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from foundation.clock import FixedClock
from foundation.errors import DataError, SpecError
from market_data.sample_set import load_sample
from market_data.store import Store
from research.backtest import ENGINE_VERSION, BacktestRequest, run_backtest
from research.documents import find_document
from research.evidence import (
    evidence_directory,
    examine,
    record_examination,
    write_examination,
)
from research.recording import recorded_run
from research.writing import write_result
from strategies.evidence import latest_evidence, promote, versions_without_evidence
from strategies.lifecycle import EvidenceKind, Stage, Trigger
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
    assert versions_without_evidence(sqlite_engine, engine_version=ENGINE_VERSION) == [version]
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

"""Result directories and summaries: what is read is what was written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from foundation.errors import DataError
from research.results import Table, open_result
from research.summary import Summary, encode_summary, read_summary


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "result"))


def test_summary_is_read_as_it_was_written(tmp_path):
    summary = Summary(
        strategy="one", instruments=["ALFA"], sharpe=None, total_return=0.25, n_trades=3
    )
    (tmp_path / "summary.json").write_bytes(encode_summary(summary))
    assert read_summary(tmp_path) == summary


def test_undefined_figures_are_null_and_never_nan():
    content = encode_summary(Summary(strategy="one", sharpe=None))
    assert json.loads(content)["sharpe"] is None
    with pytest.raises(ValueError, match=r"costs\.slippage_bps must be finite"):
        encode_summary(Summary(strategy="one", costs={"slippage_bps": float("nan")}))


def test_a_summary_of_a_later_version_with_more_fields_is_still_read(tmp_path):
    (tmp_path / "summary.json").write_text('{"strategy": "one", "invented_later": [1, 2]}')
    assert read_summary(tmp_path).strategy == "one"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"strategy": 5}', b"\xff\xfe"])
def test_a_damaged_summary_is_named(tmp_path, content):
    (tmp_path / "summary.json").write_bytes(content)
    with pytest.raises(DataError, match=r"summary\.json is not a summary"):
        open_result(tmp_path)


def test_a_directory_without_a_result_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no result"):
        open_result(tmp_path / "nothing")


def test_opening_reads_no_table(copied):
    for table in Table:
        (copied / table.file_name).unlink()
    result = open_result(copied)
    assert not result.has(Table.TRADES)
    with pytest.raises(DataError, match=r"not a whole result: trades\.parquet is missing"):
        result.trades()


def test_a_table_cut_in_the_middle_is_named(copied):
    path = copied / "equity.parquet"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"equity\.parquet cannot be read"):
        open_result(copied).equity()


def test_session_equity_is_the_last_bar_of_each_session(tmp_path):
    (tmp_path / "summary.json").write_bytes(encode_summary(Summary(strategy="one")))
    pl.DataFrame(
        {
            "symbol": ["ALFA", "ALFA", "ALFA", "PORTFOLIO", "PORTFOLIO", "PORTFOLIO"],
            "session": ["2010-01-04", "2010-01-04", "2010-01-05"] * 2,
            "equity": [1.0, 2.0, 3.0, 10.0, 20.0, 30.0],
        }
    ).with_columns(pl.col("session").str.to_date()).write_parquet(tmp_path / "equity.parquet")
    result = open_result(tmp_path)
    assert result.session_equity()["equity"].to_list() == [20.0, 30.0]
    assert result.session_equity("ALFA")["equity"].to_list() == [2.0, 3.0]


def test_reasons_count_every_bar_once(made):
    result = open_result(made)
    reasons = result.reasons()
    assert reasons["n_bars"].sum() == result.decisions().height
    counted = dict(reasons.iter_rows())
    decisions = result.decisions()
    entered = decisions.filter(pl.col("action") == "enter_long").height
    waiting = decisions.filter(
        (pl.col("reason") == "in_position") & (pl.col("action") == "")
    ).height
    assert counted["enter_long"] == entered > 0
    assert counted["in_position"] == waiting > 0


def test_indicator_names_come_from_the_decision_rows(made):
    assert open_result(made).indicators() == ["fast", "slow", "gap"]

"""Versions side by side: figures with differences, warnings, page and table."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
import pyarrow.parquet as pq
import pytest

from foundation.errors import DataError
from research.comparison import UNITS, compare_figures, document_diff, unlike_runs
from research.named_results import NamedResult, find_results, label_results
from research.results import open_result
from research.summary import Figures, Summary, encode_summary
from research.version_charts import monthly_difference_chart, trade_returns_chart, yearly_chart
from research.versions_page import (
    SCHEMA,
    compare_results,
    evidence_grid,
    overview_grid,
    page_figures,
    render_html,
    tidy_table,
    write_versions,
    year_grid,
)
from strategies.evidence import Evidence, record_evidence
from strategies.lifecycle import EvidenceKind
from strategies.runs import RunStart, record_run_started, record_run_succeeded
from strategies.versions import save_version
from tests.research.made_result import make_result

NOW = datetime(2024, 3, 8, tzinfo=UTC)


def summary(**changes) -> Summary:
    fields = {
        "strategy": "dip", "version_hash": "a" * 64, "data_fingerprint": "f" * 64,
        "engine_version": "1", "instruments": ["AAPL"], "timeframe": "1d",
        "start": "2001-01-02", "end": "2010-12-31", "starting_cash": 1000.0, "final_equity": 1500.0,
        "total_return": 0.5, "max_drawdown": 0.2, "sharpe": 1.0, "total_commission": 10.0,
    }  # fmt: skip
    return Summary(**(fields | changes))


def changes_of(first: Summary, other: Summary) -> dict[str, tuple[str, str]]:
    return {row.label: (row.changes[1], row.tones[1]) for row in compare_figures([first, other])}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> list[NamedResult]:
    """Return three results: a version, another one of it on the same bars, a shorter one."""
    folder = tmp_path_factory.mktemp("versions")
    first = make_result(folder / "first", n_bars=760)
    other, short = folder / "other", make_result(folder / "short", n_bars=300)
    shutil.copytree(first, other)
    for path, hash_, document in (
        (first, "1" * 64, {"name": "cross", "enter_long": "a > b", "parameters": {"n": 5}}),
        (other, "2" * 64, {"name": "cross", "enter_long": "a >= b", "parameters": {"n": 6}}),
        (short, "3" * 64, {"name": "cross", "enter_long": "a > b", "parameters": {"n": 5}}),
    ):
        found = open_result(path).summary
        found.version_hash, found.run_id = hash_, hash_[:12]
        found.document = msgspec.json.encode(document).decode()
        if path == other:
            found.sharpe = (found.sharpe or 0.0) + 0.25
        (path / "summary.json").write_bytes(encode_summary(found))
    passed = Evidence(
        version_hash="1" * 64, kind=EvidenceKind.LOOK_AHEAD, passed=True, figures={"n_cuts": 48},
        data_fingerprint=open_result(first).summary.data_fingerprint,
        engine_version=open_result(first).summary.engine_version,
        recorded_at=NOW,
    )  # fmt: skip
    failed = replace(
        passed, version_hash="2" * 64, passed=False,
        figures={"first_difference": "AAPL: indicator trend at 2004-01-02 is 5, but 4 …"},
    )  # fmt: skip
    trials = replace(
        passed, kind=EvidenceKind.DEFLATED_SHARPE,
        figures={"n_trials": 400, "deflated_sharpe": 0.62, "study": "s1"},
    )  # fmt: skip
    results = [open_result(path) for path in (first, other, short)]
    held = [
        {EvidenceKind.LOOK_AHEAD: passed, EvidenceKind.DEFLATED_SHARPE: trials},
        {EvidenceKind.LOOK_AHEAD: failed},
        {},
    ]
    return [
        NamedResult(label, result, evidence)
        for label, result, evidence in zip(label_results(results), results, held, strict=True)
    ]


@pytest.fixture(scope="module")
def comparison(made):
    return compare_results(made)


# Figures and what differs.


def test_differences_are_from_the_first_and_toned_by_what_is_better():
    found = changes_of(
        summary(),
        summary(total_return=0.6, final_equity=1600.0, max_drawdown=0.25, sharpe=0.9,
                total_commission=8.0, n_trades=7),
    )  # fmt: skip
    assert found["Total return"] == ("+10.00", "gain")
    assert found["Final equity"] == ("+100.00", "gain")
    # A deeper fall is written as a larger fall, and is worse.
    assert found["Maximum drawdown"] == ("−5.00", "loss")
    assert found["Sharpe ratio"] == ("−0.100", "loss")
    assert found["Commission"] == ("−2.00", "gain")
    # More trades are neither better nor worse.
    assert found["Trades"] == ("+7", "")


def test_no_difference_is_told_where_there_is_none_or_no_figure():
    found = changes_of(summary(), summary(sharpe=None, total_return=0.500001))
    assert found["Sharpe ratio"] == ("", "")
    assert found["Total return"] == ("", "")
    assert changes_of(summary(), summary(currency="EUR", final_equity=2.0))["Final equity"] == (
        "", "",
    )  # fmt: skip


def test_unlike_runs_are_told_with_what_is_unlike():
    assert unlike_runs([summary(), summary(version_hash="b" * 64)]) == []
    told = unlike_runs(
        [summary(), summary(end="2011-12-30", instruments=["AAPL", "MSFT"], fill="same_close",
                            engine_version="2", starting_cash=5000.0, data_fingerprint="e" * 64)]
    )  # fmt: skip
    assert told == [
        "The results are of other instruments: AAPL; AAPL, MSFT.",
        "The results end on other days: 2010-12-31, 2011-12-30.",
        "The results began with other amounts of cash: 1000, 5000.",
        "Market orders fill at other moments: next_open, same_close.",
        "The results are of other versions of the engine: 1, 2.",
    ]


def test_other_bars_of_the_same_days_are_told():
    told = unlike_runs([summary(), summary(data_fingerprint="e" * 64)])
    assert told == [
        "The bars of the same instruments and days have other content: data ffffffffffff, "
        "eeeeeeeeeeee. They were revised in between, or come from another source."
    ]


def test_results_of_other_days_get_no_difference_that_could_mislead():
    first, same = summary(), summary(total_return=0.6)
    for changes in ({"start": "2005-01-03"}, {"end": "2009-12-31"}):
        other = summary(total_return=0.9, sharpe=2.0, **changes)
        assert set(changes_of(first, other).values()) == {("", "")}
    assert changes_of(first, same)["Total return"] == ("+10.00", "gain")


def test_every_key_figure_has_a_unit():
    assert set(UNITS) == set(Figures.__struct_fields__)


def test_documents_that_say_the_same_have_no_diff_however_they_are_written():
    one = summary(document='{"name":"dip","parameters":{"n":{"default":5}}}')
    same = summary(document="parameters:\n  n: {default: 5}\nname: dip\n")
    assert document_diff(one, same) == []
    other = summary(document='{"name":"dip","parameters":{"n":{"default":6}}}')
    lines = document_diff(one, other)
    assert [line for line in lines if line[0] in "+-"] == ["-    default: 5", "+    default: 6"]


# Charts.


def frames(*rows):
    return pl.DataFrame(rows, schema=["year", "month", "total_return"], orient="row")


def test_monthly_differences_are_of_months_that_both_have():
    figure = monthly_difference_chart(
        frames((2001, 1, 0.02), (2001, 2, 0.03), (2001, 3, 0.5)),
        frames((2001, 1, 0.01), (2001, 2, -0.01), (2002, 1, 0.9)),
        "b",
    )
    text = figure.data[0].text
    assert list(figure.data[0].y) == ["2001"]
    assert list(text[0][:3]) == ["1.0", "4.0", ""]
    # 1.02 * 1.03 less 1.01 * 0.99.
    assert text[0][12] == "<b>5.1</b>"


def test_versions_without_a_common_month_say_so():
    figure = monthly_difference_chart(frames((2001, 1, 0.02)), frames((2002, 1, 0.01)), "b")
    assert figure.layout.annotations[0].text == "No month that both have"


def test_each_version_has_a_bar_a_year_and_a_gap_where_it_has_none():
    figure = yearly_chart({
        "a": pl.DataFrame({"year": [2001, 2002], "total_return": [0.1, 0.2]}),
        "b": pl.DataFrame({"year": [2002], "total_return": [0.3]}),
    })  # fmt: skip
    assert [list(trace.x) for trace in figure.data] == [["2001", "2002"]] * 2
    assert list(figure.data[1].y) == [None, 0.3]


def test_trades_are_drawn_as_shares_in_bins_that_all_share():
    figure = trade_returns_chart({
        "a": pl.DataFrame({"return": [0.01, 0.02, -0.01, -0.02]}),
        "b": pl.DataFrame({"return": [0.05]}),
        "c": pl.DataFrame({"return": []}, schema={"return": pl.Float64}),
    })  # fmt: skip
    assert [trace.name for trace in figure.data] == ["a (4)", "b (1)"]
    assert len(figure.data[0].x) == len(figure.data[1].x)
    assert 0.0 in figure.data[0].x
    # Each bin is drawn by its two ends, so that half of the values add up to all trades.
    assert sum(figure.data[0].y) / 2 == pytest.approx(1.0)


# The page.


def test_page_holds_every_version_chart_and_difference(comparison):
    html = render_html(comparison)
    for label in comparison.labels:
        assert html.count(label) > 3
    assert set(re.findall(r'id="chart-([a-z0-9-]+)"', html)) == set(page_figures(comparison)) == {
        "growth", "years", "months-0", "months-1", "months-2", "trades",
    }  # fmt: skip
    assert '<span class="removed">-enter_long: a &gt; b</span>' in html
    assert '<span class="added">+enter_long: a &gt;= b</span>' in html
    assert "The documents are the same." in html


def test_page_warns_of_unlike_runs_and_failed_checks(comparison):
    told = [note.text for note in comparison.notes]
    assert any(text.startswith("The results end on other days") for text in told)
    label = comparison.labels[1]
    assert f"{label} failed the look-ahead check." in told
    assert (
        f"Not examined on their engine and bars for look-ahead and warm-up: {comparison.labels[2]}."
        " Run quarterdeck evidence."
    ) in told
    # Trials are on record for one of them, so there is no word about luck that nobody counted.
    assert not any("not on record" in text for text in told)


def test_evidence_says_what_was_found_and_on_which_bars(comparison):
    grid = evidence_grid(comparison)
    rows = {row[0]: row[1:] for row in grid.rows}
    assert rows["Look-ahead"][0] == "passed on 2024-03-08; 48 cuts"
    assert rows["Look-ahead"][1].startswith("failed on 2024-03-08")
    assert "indicator trend at 2004-01-02" in rows["Look-ahead"][1]
    assert rows["Warm-up"] == ("not examined",) * 3


def test_evidence_on_other_bars_is_told_as_such(made):
    held = made[0].evidence[EvidenceKind.LOOK_AHEAD]
    old = {EvidenceKind.LOOK_AHEAD: replace(held, data_fingerprint="other")}
    comparison = compare_results([replace(made[0], evidence=old)])
    rows = {row[0]: row[1:] for row in evidence_grid(comparison).rows}
    assert rows["Look-ahead"][0] == (
        "passed on 2024-03-08, on other bars than this result; 48 cuts"
    )
    assert any(note.text.startswith("Not examined on their") for note in comparison.notes)


def test_trials_and_deflated_sharpe_are_shown_where_recorded(comparison):
    html = render_html(comparison)
    assert "Parameter sets tried" in html
    assert ">400<" in html
    assert "62.0\u202f%" in html


def test_years_stand_beside_each_other_with_their_differences(comparison):
    grid = year_grid(comparison)
    assert len(grid.columns) == 1 + 1 + 2 * 2
    # The second result has the first one's equity, so that no year differs.
    assert {row[3] for row in grid.rows} == {"0.00"}
    assert [row[4] for row in grid.rows][-1] == "–"


def test_same_results_give_the_same_bytes(made, tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_versions(compare_results(made), tmp_path / name, formats=["html", "parquet"])
    for name in ("versions.html", "versions.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


# The table.


def test_table_has_a_row_for_each_result_and_figure(comparison, tmp_path):
    write_versions(comparison, tmp_path, formats=["parquet"])
    table = pl.from_arrow(pq.read_table(tmp_path / "versions.parquet"))
    assert table.columns == SCHEMA.names
    assert table.select("result", "kind", "figure", "period").is_duplicated().sum() == 0
    assert set(table["kind"]) == {"summary", "year", "month", "evidence", "trials"}
    sharpe = table.filter(pl.col("figure") == "sharpe")
    assert sharpe["difference"].to_list()[0] is None
    assert sharpe["difference"].to_list()[1] == pytest.approx(0.25)
    for result, one in zip(comparison.labels, comparison.summaries, strict=True):
        rows = table.filter((pl.col("result") == result) & (pl.col("kind") == "summary"))
        values = dict(rows.select("figure", "value").iter_rows())
        assert values["total_return"] == one.total_return
        assert values["n_trades"] == one.n_trades
    months = table.filter((pl.col("kind") == "month") & (pl.col("figure") == "total_return"))
    assert re.fullmatch(r"\d{4}-\d{2}", months["period"][0])


def test_table_holds_the_difference_of_each_row_from_the_first_results_row(comparison):
    table = pl.from_arrow(tidy_table(comparison))
    first = comparison.labels[0]
    keys = ["kind", "figure", "period"]
    joined = table.join(table.filter(pl.col("result") == first).select(*keys, "value"), on=keys,
                        how="left", suffix="_first")  # fmt: skip
    later = joined.filter((pl.col("result") != first) & pl.col("difference").is_not_null())
    assert later.height > 50
    assert (later["value"] - later["value_first"] == later["difference"]).all()


def test_table_tells_units_and_days_and_compares_no_other_days(comparison):
    table = pl.from_arrow(tidy_table(comparison))
    assert table["unit"].null_count() == 0
    first, _, short = comparison.summaries
    rows = table.filter(pl.col("result") == comparison.labels[2])
    assert set(rows.select("start", "end").iter_rows()) == {(short.start, short.end)}
    assert rows.filter(pl.col("kind") == "summary")["difference"].null_count() == (
        rows.filter(pl.col("kind") == "summary").height
    )
    last = short.end[:7]
    years = rows.filter((pl.col("kind") == "year") & (pl.col("figure") == "total_return"))
    assert dict(years.select("period", "difference").iter_rows())[short.end[:4]] is None
    # A year that both have from its first session to its last is compared, though not all is.
    assert years.filter(pl.col("period") < short.end[:4])["difference"].null_count() == 0
    months = rows.filter((pl.col("kind") == "month") & (pl.col("figure") == "total_return"))
    assert months.filter(pl.col("period") < last)["difference"].null_count() == 0
    # Its last month ends within the first one's.
    assert short.end < first.end
    assert months.filter(pl.col("period") == last)["difference"].to_list() == [None]
    sharpe = table.filter(pl.col("figure") == "sharpe")
    assert sharpe["unit"].unique().to_list() == ["ratio"]


def test_the_docs_name_every_column_of_the_table_in_its_order():
    text = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text("utf-8")
    rows = text.partition("| Column | Type | Meaning |")[2].partition("\n\n")[0].splitlines()[2:]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert named == SCHEMA.names


def test_evidence_on_other_bars_is_neither_passed_nor_failed_in_the_table(made):
    held = made[0].evidence[EvidenceKind.LOOK_AHEAD]
    old = {EvidenceKind.LOOK_AHEAD: replace(held, data_fingerprint="other")}
    found = []
    for evidence in (made[0].evidence, old, made[1].evidence):
        table = pl.from_arrow(tidy_table(compare_results([replace(made[0], evidence=evidence)])))
        found += table.filter(pl.col("figure") == "look_ahead")["value"].to_list()
    assert found == [1.0, None, None if made[1].result.summary.data_fingerprint
                     != held.data_fingerprint else 0.0]  # fmt: skip


def test_fifty_results_are_all_listed_and_eight_of_them_drawn(made):
    many = [replace(made[k % 2], label=f"version {k}") for k in range(50)]
    comparison = compare_results(many)
    html = render_html(comparison)
    assert "50 results compared" in html
    overview = overview_grid(comparison)
    assert [row[0] for row in overview.rows] == [f"version {k}" for k in range(50)]
    assert all(f">version {k}<" in html for k in range(50))
    assert "months-7" in html
    assert "months-8" not in html
    assert "below it are of the first 8" in html
    # Not a note for each of fifty.
    assert sum("Not examined" in note.text for note in comparison.notes) <= 2
    assert any("version 4 and 20 more" in note.text or " more." in note.text
               for note in comparison.notes)  # fmt: skip
    assert pl.from_arrow(tidy_table(comparison))["result"].n_unique() == 50
    assert "All results" not in render_html(compare_results(many[:8]))


def test_one_result_alone_makes_a_page_without_differences(made):
    comparison = compare_results(made[:1])
    html = render_html(comparison)
    assert "Runs and documents say the same." in html
    assert set(pl.from_arrow(tidy_table(comparison))["difference"].to_list()) == {None}


# Names.


def record_result(engine, folder: Path, document: bytes, run_id: str, **options) -> str:
    version = save_version(engine, name="cross", document=document, author="").version_hash
    start = RunStart(
        run_id=run_id, version_hash=version, data_fingerprint="f" * 64, engine_version="1",
        options={"parameters": {}} | options, result_directory=str(folder),
    )  # fmt: skip
    record_run_started(engine, start)
    record_run_succeeded(engine, run_id, key_figures={})
    return version


def test_results_are_found_by_folder_run_and_version(made, sqlite_engine):
    folders = [one.result.directory for one in made]
    version = record_result(sqlite_engine, folders[0], b"one", "0123456789ab")
    other = record_result(sqlite_engine, folders[1], b"two", "ba9876543210")
    names = [str(folders[2]), "0123456789ab", other[:8]]
    found = find_results(names, sqlite_engine)
    assert [one.result.directory for one in found] == [folders[2], folders[0], folders[1]]
    assert version != other


def test_a_version_stands_for_its_latest_backtest_with_its_own_parameters(made, sqlite_engine):
    folders = [one.result.directory for one in made]
    version = record_result(sqlite_engine, folders[0], b"one", "0123456789ab")
    record_result(sqlite_engine, folders[1], b"one", "ba9876543210", parameters={"n": 7})
    assert find_results([version[:8]], sqlite_engine)[0].result.directory == folders[0]


def test_a_results_evidence_is_that_of_its_version(made, sqlite_engine):
    folder = made[0].result.directory
    document = b"one"
    version = record_result(sqlite_engine, folder, document, "0123456789ab")
    copied = open_result(folder).summary
    copied.version_hash = version
    held = Evidence(version_hash=version, kind=EvidenceKind.RECURSION, passed=True, figures={},
                    data_fingerprint="x", engine_version="1")  # fmt: skip
    record_evidence(sqlite_engine, held)
    own = folder.parent / "own"
    shutil.copytree(folder, own)
    (own / "summary.json").write_bytes(encode_summary(copied))
    found = find_results([str(own)], sqlite_engine)[0]
    assert set(found.evidence) == {EvidenceKind.RECURSION}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", "'nonsense' is no folder of a result, no recorded run, no version and no"),
        ("abcdef012345", "no strategy version 'abcdef012345'"),
    ],
)
def test_a_name_of_nothing_is_an_error(sqlite_engine, name, message):
    with pytest.raises(DataError, match=message):
        find_results([name], sqlite_engine)


def test_a_version_without_results_is_an_error(sqlite_engine, tmp_path):
    version = save_version(sqlite_engine, name="dip", document=b"dip", author="").version_hash
    with pytest.raises(DataError, match="it was never backtested"):
        find_results([version], sqlite_engine)
    record_result(sqlite_engine, tmp_path / "gone", b"one", "0123456789ab")
    with pytest.raises(DataError, match=r"is not at .*gone any more"):
        find_results(["0123456789ab"], sqlite_engine)


def test_labels_tell_results_of_one_version_apart(made):
    one = made[0].result
    assert label_results([one, made[1].result])[0] == f"{one.summary.strategy} 11111111"
    twice = label_results([one, one])
    assert len(set(twice)) == 2

"""The job `backtest`, run in this process on a data home of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, ExecuteInProcessResult

from assets.equity_picture import draw_equity
from assets.inputs import find_document
from foundation.database import make_engine
from foundation.errors import DataError, SpecError
from foundation.home import CHECKOUT
from foundation.settings import load_settings
from pipelines.definitions import definitions
from strategies.runs import list_runs
from strategies.tables import RunStatus
from strategies.versions import list_versions
from trading.document import canonical, load_document, version_hash

EXAMPLE = CHECKOUT / "examples" / "rsi_stochastic_reversal.yaml"
SMALL = """
name: small
timeframe: 1d
instruments: [MSFT]
parameters: {length: {default: 14, low: 2, high: 50}}
enter_long: rsi(close, $length) < 30
exit_long: rsi(close, $length) > 60
"""


@dataclass
class Launched:
    """A finished run of the job."""

    result: ExecuteInProcessResult
    instance: DagsterInstance
    home: Path

    @property
    def tags(self) -> dict[str, str]:
        return dict(self.instance.get_run_by_id(self.result.run_id).tags)

    @property
    def lines(self) -> list[str]:
        entries = self.instance.all_logs(self.result.run_id)
        return [entry.user_message for entry in entries if not entry.dagster_event]

    @property
    def failure(self) -> str:
        events = [e for e in self.result.all_events if e.event_type_value == "STEP_FAILURE"]
        return events[0].event_specific_data.error_display_string

    def metadata(self, asset: str) -> dict[str, Any]:
        for event in self.result.get_asset_materialization_events():
            if event.asset_key.to_user_string() == asset:
                return {k: v.value for k, v in event.materialization.metadata.items()}
        raise AssertionError(f"{asset} was not materialized")

    @property
    def folder(self) -> Path:
        return Path(self.metadata("backtest")["Folder"])


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory) -> Iterator[Path]:
    """Keep one data home for the module, so that the sample set is loaded once."""
    folder = tmp_path_factory.mktemp("dagster") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUARTERDECK_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as opened:
        yield opened


def launch(home: Path, instance: DagsterInstance, *, formats=("csv",), **options) -> Launched:
    """Launch the job with some options changed and the rest as filled in."""
    config = {
        "ops": {
            "run_backtest": {"config": options},
            "write_report": {"config": {"formats": list(formats)}},
        }
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUARTERDECK_HOME", str(home))
        result = definitions.resolve_job_def("backtest").execute_in_process(
            run_config=config, instance=instance, raise_on_error=False
        )
    return Launched(result, instance, home)


@pytest.fixture(scope="module")
def default(shared_home, instance) -> Launched:
    """Launch the job as its launchpad is filled in, on an empty data home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUARTERDECK_HOME", str(shared_home))
        result = definitions.resolve_job_def("backtest").execute_in_process(
            instance=instance, raise_on_error=False
        )
    return Launched(result, instance, shared_home)


@pytest.fixture
def database(default):
    engine = make_engine(load_settings(home=default.home).database_url)
    yield engine
    engine.dispose()


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_filled_in_options_work_on_an_empty_data_home(default):
    assert default.result.success
    summary = json.loads((default.folder / "summary.json").read_bytes())
    assert summary["instruments"] == ["AAPL", "MSFT", "GOOG", "FB"]
    assert default.folder == (
        default.home / "results" / "rsi-stochastic-reversal" / summary["run_id"]
    )
    assert {"report.html", "report.pdf", "report.xlsx", "trades.csv", "trades.parquet"} <= set(
        files_of(default.folder)
    )


def test_metadata_shows_the_figures_of_the_summary_with_their_units(default):
    summary = json.loads((default.folder / "summary.json").read_bytes())
    shown = default.metadata("backtest")
    assert list(shown)[:3] == ["Total return (%)", "Buy and hold (%)", "Final equity (USD)"]
    assert shown["Total return (%)"] == round(100 * summary["total_return"], 2)
    assert shown["Largest drawdown (%)"] == round(100 * summary["max_drawdown"], 2)
    assert shown["Final equity (USD)"] == round(summary["final_equity"], 2)
    assert shown["Trades"] == summary["n_trades"]
    assert "](data:image/png;base64,iVBOR" in shown["Equity"]
    report = default.metadata("report")
    assert report["Report"] == str(default.folder / "report.html")
    assert Path(report["Report"]).is_file()


def test_the_log_tells_how_far_the_run_is(default):
    counted = [line.split(":")[0] for line in default.lines if " instruments, " in line]
    assert counted == [
        "0 of 4 instruments, 0 %",
        "1 of 4 instruments, 25 %",
        "2 of 4 instruments, 50 %",
        "3 of 4 instruments, 75 %",
        "4 of 4 instruments, 100 %",
    ]
    assert "2 of 4 formats, 50 %: report xlsx" in default.lines
    assert "4 of 4 formats, 100 %: report" in default.lines


def test_tags_say_which_strategy_and_version_ran(default):
    assert default.tags["quarterdeck/strategy"] == "rsi-stochastic-reversal"
    assert default.tags["quarterdeck/version"] == version_hash(load_document(EXAMPLE))[:12]
    assert default.tags["quarterdeck/run_id"] == default.folder.name


def test_the_run_is_on_record_as_the_versions_evidence(default, database):
    run = next(r for r in list_runs(database) if r.run_id == default.folder.name)
    summary = json.loads((default.folder / "summary.json").read_bytes())
    assert run.status is RunStatus.SUCCEEDED
    assert run.result_directory == str(default.folder)
    assert run.key_figures["sharpe"] == summary["sharpe"]
    assert run.options["cash"] == 100_000.0
    version = next(v.version for v in list_versions(database) if v.version.name == run.name)
    assert version.stage.value == "backtested"
    assert version.author == "dagster"


def test_launching_again_gives_the_same_files(default):
    before = files_of(default.folder)
    again = launch(default.home, default.instance, formats=("html", "pdf", "xlsx", "csv"))
    assert again.folder == default.folder
    after = files_of(again.folder)
    assert sorted(after) == sorted(before)
    assert [name for name in before if before[name] != after[name]] == []
    assert draw_equity(again.folder) == draw_equity(default.folder)


def test_a_whole_document_can_be_typed_into_the_launchpad(default):
    done = launch(
        default.home,
        default.instance,
        strategy=SMALL,
        symbols=["AAPL"],
        start="2008-01-02",
        end="2009-12-31",
        cash=50_000.0,
        parameters={"length": 10},
    )
    assert done.result.success
    summary = json.loads((done.folder / "summary.json").read_bytes())
    assert (summary["strategy"], summary["instruments"]) == ("small", ["AAPL"])
    assert (summary["start"], summary["end"]) == ("2008-01-02", "2009-12-31")
    assert summary["starting_cash"] == 50_000.0
    assert summary["parameters"] == {"length": 10.0}
    assert (done.folder / "trades.csv").is_file()
    assert not (done.folder / "report.html").exists()


def test_other_parameters_say_nothing_about_the_version(default, database):
    text = SMALL.replace("name: small", "name: varied")
    launch(default.home, default.instance, strategy=text, parameters={"length": 10})
    assert list_versions(database, name="varied")[0].version.stage.value == "draft"
    launch(default.home, default.instance, strategy=text)
    assert list_versions(database, name="varied")[0].version.stage.value == "backtested"


def test_a_result_goes_to_the_folder_asked_for_but_never_over_other_files(default, tmp_path):
    asked = tmp_path / "here"
    done = launch(default.home, default.instance, strategy=SMALL, output=str(asked))
    assert done.folder == asked
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    (photographs / "wedding.jpg").write_bytes(b"...")
    refused = launch(default.home, default.instance, strategy=SMALL, output=str(photographs))
    assert "holds other files than a result" in refused.failure
    assert [path.name for path in photographs.iterdir()] == ["wedding.jpg"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": SMALL.replace("rsi(close, $length) < 30", "rsi(clsoe, $length) < 30")},
         "enter_long: unknown name `clsoe` at column 5; did you mean `close`?"),
        ({"strategy": "examples/none_such.yaml"},
         "strategy: no file 'examples/none_such.yaml', and no digits of a version's hash"),
        ({"strategy": SMALL, "symbols": ["AAPLE"]},
         "no bars of AAPLE are stored; stored are AAPL, FB, GOOG, MSFT, SIM"),
        ({"strategy": SMALL, "start": "02.01.2008"},
         "start: must be a date such as 2008-01-31, got '02.01.2008'"),
        ({"strategy": SMALL, "cash": -5.0}, "cash: starting cash must be above 0, got -5"),
        ({"strategy": SMALL, "parameters": {"lenght": 10}}, "unknown parameter `lenght`"),
        ({"strategy": SMALL, "bars": "none.csv"}, "no file of bars at none.csv"),
    ],
)  # fmt: skip
def test_a_wrong_option_fails_with_one_line(default, options, message):
    failed = launch(default.home, default.instance, **options)
    assert not failed.result.success
    assert message in failed.failure
    assert failed.failure.splitlines()[0] == "dagster._core.definitions.events.Failure: " + next(
        line for line in failed.failure.splitlines() if message in line
    ).removeprefix("dagster._core.definitions.events.Failure: ")
    assert "SpecError" not in failed.failure
    assert "DataError" not in failed.failure


def test_an_unknown_format_fails_before_the_report_is_begun(default):
    failed = launch(default.home, default.instance, strategy=SMALL, formats=("docx",))
    assert "formats: must be any of html, pdf, xlsx, csv, got 'docx'" in failed.failure


def test_a_strategy_is_found_by_path_by_hash_and_as_text(default, database, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    example = load_document(EXAMPLE)
    version = version_hash(example)
    assert find_document("examples/rsi_stochastic_reversal.yaml", database) == example
    assert find_document(str(EXAMPLE), database) == example
    assert find_document(version[:8], database) == example
    assert find_document(f" {version} ", database) == example
    assert find_document(EXAMPLE.read_text(), database) == example
    assert find_document(canonical(example).decode(), database) == example
    with pytest.raises(DataError, match="no strategy version '0123456789ab' is stored"):
        find_document("0123456789ab", database)
    with pytest.raises(SpecError, match="a path, a version's hash or a document is needed"):
        find_document("  ", database)


def test_a_run_that_can_not_be_written_is_recorded_as_failed(default, database, tmp_path):
    text = SMALL.replace("name: small", "name: unwritten")
    (tmp_path / "file").write_text("")
    failed = launch(
        default.home, default.instance, strategy=text, output=str(tmp_path / "file" / "below")
    )
    assert not failed.result.success
    run = list_runs(database, name="unwritten")[0]
    assert run.status is RunStatus.FAILED
    assert "below" in run.error
    assert list_versions(database, name="unwritten")[0].version.stage.value == "draft"

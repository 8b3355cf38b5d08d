"""The asset `corporate_actions` and its checks, run in this process."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from dagster import DagsterInstance

from assets.corporate_actions import corporate_actions
from foundation.settings import load_settings
from market_data.building import dated_actions
from market_data.columns import BarColumns
from market_data.listings import (
    Delisting,
    Listings,
    Security,
    Ticker,
    read_listings,
    write_listings,
)
from market_data.sample_set import load_sample
from market_data.sessions import days_of
from market_data.store import Store
from pipelines.definitions import definitions


@pytest.fixture
def instance(tmp_path):
    with DagsterInstance.ephemeral(str(tmp_path / "dagster")) as opened:
        yield opened


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("QUARTERDECK_HOME", str(tmp_path / "home"))
    assert load_settings().home == tmp_path / "home"
    return Store(tmp_path / "home")


def run(instance, symbol, **options):
    """Materialize a partition; return its checks and its metadata."""
    instance.add_dynamic_partitions("symbol", [symbol])
    done = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        {"ops": {"corporate_actions": {"config": options}}},
        partition_key=symbol,
        instance=instance,
        asset_selection=[corporate_actions.key],
        raise_on_error=False,
    )
    if not done.success:
        (failed,) = [e for e in done.all_events if e.is_step_failure]
        return failed.step_failure_data.error.message, {}
    checks = {e.check_name: e for e in done.get_asset_check_evaluations()}
    (made,) = done.get_asset_materialization_events()
    return checks, {name: value.value for name, value in made.materialization.metadata.items()}


def put(store, symbol, closes, first=date(2012, 1, 3), volume=1e6):
    """Store one daily bar after the other, on the sessions of New York."""
    day = np.busday_offset(np.datetime64(first), np.arange(2 * len(closes)), roll="forward")
    day = day.astype("datetime64[D]").astype(np.int64)
    table = store.sessions("XNYS", int(day[0]) * 86_400 * 10**9, int(day[-1]) * 86_400 * 10**9)
    day = day[np.isin(day, table.date)][: len(closes)]
    close = np.array(closes, np.float64)
    opens = table.open[np.searchsorted(table.date, day)]
    prices = np.stack([close, close, close, close, np.full(len(closes), volume)])
    store.write_bars(symbol, "1d", BarColumns(opens, day, prices), calendar="XNYS", source="test")
    return day


def walk(n):
    draw = np.random.default_rng(3)
    return (50 * np.exp(np.cumsum(draw.normal(0, 0.01, n)))).round(2).tolist()


def on(day):
    return date.fromordinal(int(day) + 719_163)


def failed(checks):
    """Return the checks that did not pass, with their severity and first words."""
    return {
        name: (one.severity.value, one.description.split(":")[0])
        for name, one in checks.items()
        if not one.passed
    }


def test_the_sample_set_passes_all_checks_and_shows_its_actions(instance, store):
    load_sample(store)
    for symbol, n_splits in (("AAPL", 2), ("MSFT", 1), ("GOOG", 0), ("FB", 0)):
        checks, told = run(instance, symbol)
        assert set(checks) == {
            "actions_fit_prices", "listing_fits_bars", "sources_agree_on_actions",
        }  # fmt: skip
        assert failed(checks) == {}
        assert told["Splits"] == n_splits
        assert told["Listing"] == "none stored"
    assert run(instance, "AAPL")[1]["Content"] == run(instance, "AAPL")[1]["Content"]


def test_actions_and_listings_are_brought_from_files(instance, store, tmp_path):
    days = put(store, "ACME", [*walk(30), *(x / 2 for x in walk(30))])
    (tmp_path / "a.csv").write_text(f"ex_date,split_ratio\n{on(days[30])},2\n")
    (tmp_path / "l.csv").write_text("ticker,valid_from\nACME,2010-01-04\n")
    files = {"actions": str(tmp_path / "a.csv"), "listings": str(tmp_path / "l.csv")}
    checks, told = run(instance, "ACME", **files)
    assert failed(checks) == {}
    assert (told["Splits"], told["Dividends"]) == (1, 0)
    assert f"| {on(days[30])} |  | 2 | 0 |" in told["Latest actions"]
    assert told["Listing"] == "- ACME: ACME from 2010-01-04 to today"
    assert store.read_actions("ACME")["split_ratio"].tolist() == [2.0]
    assert read_listings(store).find("ACME") is not None
    again = run(instance, "ACME", **files)[1]
    assert again["Content"] == told["Content"]


def test_a_file_that_is_not_there_fails_in_one_line_and_changes_nothing(instance, store):
    put(store, "ACME", walk(30))
    message, _ = run(instance, "ACME", actions="nowhere.csv")
    assert "no file of actions at nowhere.csv" in message
    assert store.read_actions("ACME").shape[0] == 0


def test_splits_that_prices_contradict_fail_as_errors(instance, store):
    days = put(store, "ACME", [*walk(30), *(x / 2 for x in walk(30))])
    store.write_actions(
        "ACME", dated_actions([(on(days[15]), 3.0, 0.0), (on(days[30]), 2.0, 0.0)]), "test"
    )
    checks, _ = run(instance, "ACME")
    assert failed(checks) == {"actions_fit_prices": ("ERROR", "split_not_in_prices")}
    assert str(on(days[15])) in checks["actions_fit_prices"].metadata["Evidence"].value


def test_prices_that_are_adjusted_already_are_only_noted(instance, store):
    days = put(store, "ACME", walk(60))
    # A dividend of the raw price's day may well be above the adjusted price.
    actions = dated_actions([(on(days[10]), 1.0, 90.0), (on(days[30]), 7.0, 0.0)])
    store.write_actions("ACME", actions, "test")
    checks, _ = run(instance, "ACME")
    assert failed(checks) == {}
    assert checks["actions_fit_prices"].metadata["Notes"].value == 1


def test_a_dividend_above_the_price_is_an_error_and_an_ex_date_on_a_sunday_a_warning(
    instance, store
):
    days = put(store, "ACME", walk(60))
    store.write_actions("ACME", dated_actions([(on(days[30]), 1.0, 80.0)]), "test")
    checks, _ = run(instance, "ACME")
    assert failed(checks) == {"actions_fit_prices": ("ERROR", "dividend_above_price")}
    store.write_actions("ACME", dated_actions([(date(2012, 2, 5), 1.0, 0.2)]), "test")
    checks, _ = run(instance, "ACME")
    assert failed(checks) == {"actions_fit_prices": ("WARN", "ex_date_no_session")}
    assert "first 2012-02-05" in checks["actions_fit_prices"].description


def test_two_companies_under_one_ticker_fail_until_a_listing_tells_them_apart(instance, store):
    put(store, "ACME", walk(60), date(2010, 1, 4), volume=1e5)
    days = put(store, "ACME", walk(60), date(2012, 1, 3), volume=1e7)
    checks, _ = run(instance, "ACME")
    assert failed(checks) == {"listing_fits_bars": ("ERROR", "ticker_reused")}
    old_end = date(2010, 3, 31)
    owners = (
        Security("ACME~2010", (Ticker("ACME", date(2010, 1, 4), old_end),),
                 Delisting(old_end, "acquired", 12.5)),
        Security("ACME", (Ticker("ACME", on(days[0])),)),
    )  # fmt: skip
    write_listings(store, Listings(owners))
    checks, told = run(instance, "ACME")
    assert failed(checks) == {}
    assert [line.split(":")[0] for line in told["Listing"].splitlines()] == [
        "- ACME~2010", "- ACME",
    ]  # fmt: skip


def test_bars_without_an_owner_and_an_end_of_unknown_value_are_warnings(instance, store):
    days = put(store, "ACME", walk(60))
    end = on(days[-1])
    owner = Security("ACME", (Ticker("ACME", on(days[5]), end),), Delisting(end, "unknown"))
    write_listings(store, Listings((owner,)))
    checks, _ = run(instance, "ACME")
    assert failed(checks) == {"listing_fits_bars": ("WARN", "outside_validity")}
    evidence = checks["listing_fits_bars"].metadata["Evidence"].value
    assert "5 bars under ACME" in evidence
    assert "delisting_value_unknown" in evidence
    late = date(2013, 1, 4)
    owner = Security("ACME", (Ticker("ACME", on(days[0]), late),), Delisting(late, "bankrupt"))
    write_listings(store, Listings((owner,)))
    checks, _ = run(instance, "ACME")
    assert failed(checks) == {"listing_fits_bars": ("WARN", "delisting_beyond_bars")}


def test_sources_that_state_unlike_splits_are_an_error(instance, store):
    days = put(store, "ACME", [*walk(30), *(x / 2 for x in walk(30))])
    put(store, "ACME@other", walk(60))
    store.write_actions("ACME", dated_actions([(on(days[30]), 2.0, 0.0)]), "test")
    assert failed(run(instance, "ACME")[0]) == {}
    store.write_actions("ACME@other", dated_actions([(on(days[30]), 3.0, 0.0)]), "test")
    checks, _ = run(instance, "ACME")
    assert failed(checks) == {"sources_agree_on_actions": ("ERROR", "split_differs")}
    assert "ACME (first) and ACME@other (second)" in checks["sources_agree_on_actions"].description


def test_minutes_alone_are_held_to_their_actions_by_session(instance, store):
    days = put(store, "DAYS", [*walk(30), *(x / 2 for x in walk(30))])
    columns, _ = store.read_columns("DAYS", "1d")
    at = np.repeat(np.arange(60), 4)
    ts = columns.ts[at] + np.tile(np.arange(4), 60) * 60 * 10**9
    minutes = BarColumns(ts, columns.session[at], columns.prices[:, at])
    store.write_bars("FAST", "1m", minutes, calendar="XNYS", source="test")
    checks, _ = run(instance, "FAST")
    assert failed(checks) == {"actions_fit_prices": ("ERROR", "split_without_action")}
    store.write_actions("FAST", dated_actions([(on(days[30]), 2.0, 0.0)]), "test")
    assert failed(run(instance, "FAST")[0]) == {}
    assert days_of(on(days[30])) == days[30]

"""`quarterdeck data ingest` and what it left: sources, provenance, revisions."""

from __future__ import annotations

import json

import pytest

from launcher import data_group
from market_data.store import Store
from tests.launcher.conftest import Run
from tests.market_data.sources.making import local_days
from tests.market_data.sources.servers import KEY_ID, SECRET, AlpacaServer

OURS = ["ingest", "sources", "provenance", "revisions"]


@pytest.fixture
def server(home, monkeypatch):
    table = Store(home).sessions("XNYS", 12_000 * 86_400 * 10**9, 19_900 * 86_400 * 10**9)
    with AlpacaServer().running() as running:
        monkeypatch.setenv("QUARTERDECK_ALPACA_URL", running.url)
        monkeypatch.setenv("QUARTERDECK_ALPACA_KEY_ID", KEY_ID)
        monkeypatch.setenv("QUARTERDECK_ALPACA_SECRET", SECRET)
        running.series["ACME", "1d"] = local_days(table, "2024-01-02", "2024-02-29")
        yield running


def ingest(run, *more):
    return run(
        "data", "ingest", "ACME", "--source", "alpaca", "--start", "2024-01-02",
        "--end", "2024-02-29", *more,
    )  # fmt: skip


@pytest.mark.parametrize("command", OURS)
def test_help_of_every_command_shows_an_example_of_it(run: Run, command: str) -> None:
    answer = run("data", command, "--help")
    assert answer.code == 0
    assert f"Example: quarterdeck data {command}" in answer.out


def test_the_group_has_the_commands_of_sources() -> None:
    names = [name for name, _, _ in data_group.COMMANDS]
    assert set(OURS) <= set(names)


def test_bars_come_and_are_told(run: Run, server, home) -> None:
    answer = ingest(run, "--json")
    assert answer.code == 0
    told = json.loads(answer.out)
    (symbol,) = told["symbols"]
    assert (symbol["new"], symbol["revised"], told["failed"]) == (41, 0, [])
    assert Store(home).find_series("ACME", "1d").rows == 41
    again = json.loads(ingest(run, "--json").out)
    assert again["symbols"][0]["partitions"] == []


def test_provenance_shows_source_request_time_and_checksum(run: Run, server) -> None:
    (told,) = json.loads(ingest(run, "--json").out)["symbols"]
    (shown,) = json.loads(run("data", "provenance", "ACME", "1d", "--json").out)
    assert (shown["part"], shown["rows"], shown["source"]) == ("all", 41, "alpaca")
    assert shown["sha256"] == told["partitions"][0]["sha256"]
    assert "symbols=ACME timeframe=1Day" in shown["request"]
    assert "alpaca" in run("data", "provenance", "ACME", "1d").out


def test_revisions_show_what_was_changed(run: Run, server) -> None:
    ingest(run)
    assert "no 1d bar of ACME was revised" in run("data", "revisions", "ACME", "1d").out
    old = server.series["ACME", "1d"].prices[4, 7]
    server.series["ACME", "1d"].prices[4, 7] = old + 5
    assert ingest(run, "--full").code == 0
    (row,) = json.loads(run("data", "revisions", "ACME", "1d", "--json").out)
    assert (row["field"], row["old"], row["new"], row["source"]) == (
        "volume", old, old + 5, "alpaca",
    )  # fmt: skip
    assert "volume" in run("data", "revisions", "ACME", "1d").out


def test_a_symbol_that_fails_gives_exit_code_1_and_the_others_are_stored(
    run: Run, server, home
) -> None:
    answer = ingest(run, "NOPE")
    assert answer.code == 1
    assert answer.error == "alpaca has no 1d bars of NOPE from 2024-01-02 to 2024-02-29"
    assert Store(home).find_series("ACME", "1d").rows == 41


def test_nothing_that_is_printed_or_kept_has_the_secret(run: Run, server, home) -> None:
    answer = ingest(run, "NOPE")
    assert SECRET not in answer.out + answer.err
    for path in home.rglob("*"):
        if path.is_file() and "kernels" not in path.parts:
            assert SECRET.encode() not in path.read_bytes(), path


def test_sources_are_listed_without_asking_any(run: Run) -> None:
    told = json.loads(run("data", "sources", "--json").out)
    assert [one["source"] for one in told] == ["alpaca", "yahoo", "files"]
    assert "1m (29 days back)" in run("data", "sources").out


def test_a_source_must_be_named_and_known(run: Run) -> None:
    assert run("data", "ingest", "AAPL").code == 2
    unknown = run("data", "ingest", "AAPL", "--source", "yaho")
    assert unknown.code == 1
    assert unknown.error == (
        "unknown source 'yaho'; there are alpaca, yahoo, files; did you mean yahoo?"
    )


def test_a_series_without_provenance_says_so(run: Run) -> None:
    assert run("data", "provenance", "NOPE", "1d").code == 1

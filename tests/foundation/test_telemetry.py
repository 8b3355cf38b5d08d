"""Logs a program can read, counts Prometheus can read, no secret in either."""

import io
import json
import logging
import urllib.request
from collections.abc import Iterator

import pytest
import structlog

from foundation.errors import DataError
from foundation.telemetry import Metrics, serve_metrics, start_logging


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_log_has_one_object_a_line_with_the_facts_as_fields() -> None:
    stream = io.StringIO()
    start_logging("info", "json", stream=stream)
    structlog.get_logger("research").info("backtest finished", run_id="abc", n_trades=12)
    (line,) = _lines(stream)
    assert line["event"] == "backtest finished"
    assert (line["run_id"], line["n_trades"]) == ("abc", 12)
    assert (line["level"], line["logger"]) == ("info", "research")
    assert str(line["timestamp"]).endswith("Z")


def test_libraries_log_in_the_same_form() -> None:
    stream = io.StringIO()
    start_logging("info", "json", stream=stream)
    logging.getLogger("faust.worker").warning("lost %s", "the bus")
    (line,) = _lines(stream)
    assert (line["event"], line["level"], line["logger"]) == (
        "lost the bus",
        "warning",
        "faust.worker",
    )


def test_lower_levels_are_left_out() -> None:
    stream = io.StringIO()
    start_logging("warning", "json", stream=stream)
    structlog.get_logger().info("quiet")
    logging.getLogger("library").info("quiet too")
    structlog.get_logger().error("loud")
    assert [line["event"] for line in _lines(stream)] == ["loud"]


def test_starting_again_does_not_double_the_lines() -> None:
    stream = io.StringIO()
    start_logging("info", "json", stream=stream)
    start_logging("info", "json", stream=stream)
    structlog.get_logger().info("once")
    assert len(_lines(stream)) == 1


def test_secrets_are_hidden_in_both_forms() -> None:
    for log_format in ("json", "console"):
        stream = io.StringIO()
        start_logging("info", log_format, stream=stream)
        structlog.get_logger().info(
            "login", user="ann", password="hunter2", api_key_of_broker="k-1"
        )
        assert "ann" in stream.getvalue()
        assert "hunter2" not in stream.getvalue()
        assert "k-1" not in stream.getvalue()


def test_traceback_is_part_of_the_json_line() -> None:
    stream = io.StringIO()
    start_logging("info", "json", stream=stream)
    try:
        raise DataError("bar 7 has no close")
    except DataError:
        structlog.get_logger().exception("import failed")
    (line,) = _lines(stream)
    assert "bar 7 has no close" in json.dumps(line["exception"])


def test_exporter_serves_the_counts_to_this_machine_only() -> None:
    metrics = Metrics()
    metrics.bars_run.inc(3270)
    metrics.backtests.labels(status="succeeded").inc()
    metrics.backtests.labels(status="failed").inc()
    metrics.backtest_seconds.observe(0.5)
    metrics.errors.labels(kind="DataError").inc()
    server = serve_metrics(metrics)
    try:
        assert server.url.startswith("http://127.0.0.1:")
        text = urllib.request.urlopen(server.url, timeout=10).read().decode()
    finally:
        server.close()
    assert 'quarterdeck_backtests_total{status="succeeded"} 1.0' in text
    assert 'quarterdeck_backtests_total{status="failed"} 1.0' in text
    assert "quarterdeck_bars_run_total 3270.0" in text
    assert 'quarterdeck_errors_total{kind="DataError"} 1.0' in text
    assert "quarterdeck_backtest_seconds_count 1.0" in text


def test_counts_are_brought_up_to_date_before_each_answer() -> None:
    metrics = Metrics()
    server = serve_metrics(metrics, refresh=lambda: metrics.bars_run.inc(7))
    try:
        first = urllib.request.urlopen(server.url, timeout=10).read().decode()
        chosen = f"{server.url}?name[]=quarterdeck_bars_run_total"
        second = urllib.request.urlopen(chosen, timeout=10).read().decode()
    finally:
        server.close()
    assert "quarterdeck_bars_run_total 7.0" in first
    assert "quarterdeck_bars_run_total 14.0" in second
    assert "quarterdeck_errors" not in second


def test_each_object_counts_for_itself() -> None:
    one, other = Metrics(), Metrics()
    one.bars_imported.inc(5)
    assert one.registry.get_sample_value("quarterdeck_bars_imported_total") == 5.0
    assert other.registry.get_sample_value("quarterdeck_bars_imported_total") == 0.0

"""All commands, as typer knows them."""

from __future__ import annotations

import typer

from launcher import (
    backtest,
    catalogue,
    compare,
    data,
    data_group,
    evidence,
    holdout,
    optimise,
    requests,
    runs,
    starting,
    sweep,
    versions,
)

app = typer.Typer(
    name="quarterdeck",
    help="Backtest strategies on real bars and read the result in a report.",
    no_args_is_help=True,
    add_completion=False,
    # A defect shows its traceback as Python does.
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _function, _panel in (
    ("up", starting.up, "Start"),
    ("version", runs.version, "Start"),
    ("import", data.import_bars, "Data"),
    ("bars", data.bars, "Data"),
    ("indicators", catalogue.indicators, "Strategies"),
    ("schema", catalogue.schema, "Strategies"),
    ("check", catalogue.check, "Strategies"),
    ("backtest", backtest.backtest, "Research"),
    ("sweep", sweep.sweep, "Research"),
    ("optimise", optimise.optimise, "Research"),
    ("walk-forward", optimise.walk_forward, "Research"),
    ("monte-carlo", optimise.monte_carlo, "Research"),
    ("evidence", evidence.evidence, "Research"),
    ("compare", compare.compare, "Research"),
    ("report", backtest.report, "Research"),
    ("runs", runs.runs, "Research"),
):
    app.command(_name, rich_help_panel=_panel)(_function)
app.add_typer(data_group.app, name="data", rich_help_panel="Data")
app.add_typer(holdout.app, name="holdout", rich_help_panel="Research")
app.add_typer(requests.app, name="requests", rich_help_panel="Research")
app.add_typer(versions.app, name="versions", rich_help_panel="Strategies")


@app.callback()
def _quarterdeck() -> None:
    """Backtest strategies on real bars and read the result in a report."""

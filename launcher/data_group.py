"""`quarterdeck data …`: where stored bars come from, and whether they can be trusted.

Each part registers its commands here by one line of the table below.
"""

from __future__ import annotations

from collections.abc import Callable

import typer

from launcher import data_check, data_pair, ingest, listings

app = typer.Typer(
    name="data",
    help="Fetch bars from vendors, see where stored bars come from, check and compare them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

# Name on the command line, function, panel of the help.
COMMANDS: tuple[tuple[str, Callable[..., None], str], ...] = (
    ("ingest", ingest.ingest, "Sources"),
    ("sources", ingest.sources, "Sources"),
    ("provenance", ingest.provenance, "Sources"),
    ("revisions", ingest.revisions, "Sources"),
    ("listings", listings.listings, "Instruments"),
    ("actions", listings.actions, "Instruments"),
    ("check", data_check.check, "Quality"),
    ("compare", data_pair.compare, "Two sources"),
    ("merge", data_pair.merge, "Two sources"),
    ("quarantine", data_pair.quarantine, "Two sources"),
    ("impact", data_pair.impact, "Two sources"),
)
for _name, _function, _panel in COMMANDS:
    app.command(_name, rich_help_panel=_panel)(_function)


@app.callback()
def _data() -> None:
    """Fetch bars from vendors, see where stored bars come from, check and compare them."""

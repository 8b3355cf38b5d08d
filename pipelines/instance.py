"""Dagster's own home: where it keeps runs and logs, and how it is configured."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from foundation.files import write_text
from foundation.home import CHECKOUT

CONFIGURATION = CHECKOUT / "deploy" / "dagster.yaml"
START_SECONDS_MAX = 300


# How a copy begins: the digest of what follows it, by which an edit is seen.
MARK = "# Made by Quarterdeck from deploy/dagster.yaml, and renewed with it until you change it: "
_N_DIGITS = 12
# Copies without a mark that earlier versions made.
_EARLIER = frozenset({"e18756c86d3b", "5d4083bb4bcc", "f6b76963f823", "2a472709cda0"})


def dagster_home(home: Path) -> Path:
    """Return the folder for ``DAGSTER_HOME`` under a data home, made and configured.

    Its ``dagster.yaml`` is a copy of ``deploy/dagster.yaml`` (no usage
    statistics, few runs at once). A copy that nobody changed is renewed when
    the platform's own has changed; one that an operator changed stays.

    Parameters
    ----------
    home : Path
        The data home.
    """
    folder = Path(home).absolute() / "dagster"
    configuration = folder / "dagster.yaml"
    wanted = _marked(CONFIGURATION.read_text("utf-8"))
    found = configuration.read_text("utf-8") if configuration.exists() else ""
    if found != wanted and (not found or is_unchanged(found)):
        write_text(configuration, wanted)
    return folder


def is_unchanged(text: str) -> bool:
    """Tell whether a configuration is as Quarterdeck made it, now or earlier."""
    mark, _, content = text.partition("\n")
    if mark.startswith(MARK):
        return mark == MARK + _digest(content)
    return _digest(text) in _EARLIER


def why_kept(home: Path) -> str:
    """Return why the configuration under a data home isn't the platform's own; empty if it is.

    One that was made from what is still the platform's own is an operator's
    business. A notice is due when that has changed since.
    """
    configuration = Path(home).absolute() / "dagster" / "dagster.yaml"
    if not configuration.exists():
        return ""
    text, template = configuration.read_text("utf-8"), CONFIGURATION.read_text("utf-8")
    mark, _, _ = text.partition("\n")
    known = mark == MARK + _digest(template) or is_unchanged(text)
    if known or text in {
        path.read_text("utf-8") for path in CONFIGURATION.parent.glob("*/dagster.yaml")
    }:
        return ""
    return (
        f"{configuration} was changed by hand and is kept; the platform's own, {CONFIGURATION}, "
        "has changed since. Compare them, then begin yours with this line to be told of the next "
        f"change only:\n{MARK}{_digest(template)}"
    )


def _marked(content: str) -> str:
    return f"{MARK}{_digest(content)}\n{content}"


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:_N_DIGITS]


def dagster_environment(home: Path) -> dict[str, str]:
    """Return the variables with which Dagster's programs are started.

    A busy machine may need more than Dagster's own minute to start a run's
    process, and a run that is late must not count as failed.

    Parameters
    ----------
    home : Path
        The data home.
    """
    return {
        "DAGSTER_HOME": str(dagster_home(home)),
        "DAGSTER_GRPC_TIMEOUT_SECONDS": str(START_SECONDS_MAX),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }


def prepare_dagster(home: Path) -> Path:
    """Make Dagster's home with the tables of its storage, and return it.

    Dagster's programs make the tables of a new home when they first open it,
    and two that open it at once get in each other's way. So they are made
    before the first of them starts; tables that are there stay as they are.

    Parameters
    ----------
    home : Path
        The data home.
    """
    from dagster import DagsterInstance

    folder = dagster_home(home)
    with DagsterInstance.from_config(str(folder)) as instance:
        # Runs, events and schedules are each kept apart, and made when first asked for.
        instance.get_runs_count()
        instance.all_asset_keys()
        instance.all_instigator_state()
    return folder


def main() -> None:
    """Make Dagster's home and print it, for ``DAGSTER_HOME``; notices go to the standard error."""
    from foundation.settings import load_settings

    home = load_settings().home
    print(prepare_dagster(home))
    notice = why_kept(home)
    if notice:
        print(notice, file=sys.stderr)


if __name__ == "__main__":
    main()

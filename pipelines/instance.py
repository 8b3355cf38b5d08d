"""Dagster's own home: where it keeps runs and logs, and how it is configured."""

from __future__ import annotations

from pathlib import Path

from foundation.files import write_text
from foundation.home import CHECKOUT

CONFIGURATION = CHECKOUT / "deploy" / "dagster.yaml"
START_SECONDS_MAX = 300


def dagster_home(home: Path) -> Path:
    """Return the folder for ``DAGSTER_HOME`` under a data home, made and configured.

    Its ``dagster.yaml`` is a copy of ``deploy/dagster.yaml`` (no usage
    statistics, few runs at once). One that is there already is left as it is,
    so that an operator may change it.

    Parameters
    ----------
    home : Path
        The data home.
    """
    folder = Path(home).absolute() / "dagster"
    configuration = folder / "dagster.yaml"
    if not configuration.exists():
        write_text(configuration, CONFIGURATION.read_text("utf-8"))
    return folder


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
    """Make Dagster's home and print it, for ``DAGSTER_HOME``."""
    from foundation.settings import load_settings

    print(prepare_dagster(load_settings().home))


if __name__ == "__main__":
    main()

"""Dagster's own home: where it keeps runs and logs, and how it is configured."""

from __future__ import annotations

from pathlib import Path

from foundation.files import write_text
from foundation.home import CHECKOUT

CONFIGURATION = CHECKOUT / "deploy" / "dagster.yaml"


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


def main() -> None:
    """Make Dagster's home and print it, for ``DAGSTER_HOME``."""
    from foundation.settings import load_settings

    print(dagster_home(load_settings().home))


if __name__ == "__main__":
    main()

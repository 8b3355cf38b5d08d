"""Where a backtest reads its bars and where its result goes, as command and job name it."""

from __future__ import annotations

from pathlib import Path

from foundation.errors import DataError
from market_data.store import Store, open_store

STORE = "store"


def bars_source(bars: str, home: Path) -> tuple[Path | None, Store]:
    """Return the file of bars that is named, None for a store, and the store.

    Parameters
    ----------
    bars : str
        ``store`` (or nothing) for the one in the data home, the path of a
        file, or the folder of another data home.
    home : Path
        The data home.

    Raises
    ------
    DataError
        If it names nothing that exists.
    """
    if bars in ("", STORE):
        return None, open_store(home)
    path = Path(bars).expanduser()
    if path.is_dir():
        if not (path / "bars").is_dir():
            raise DataError(f"{path} is no data home: it has no folder of bars")
        return None, Store(path)
    if not path.exists():
        raise DataError(f"no file of bars at {path}")
    return path, open_store(home)


def result_directory(out: Path | None, home: Path, strategy: str, run_id: str) -> Path:
    """Return where a result goes, the default when none is named."""
    if out is None:
        return home / "results" / strategy / run_id
    return out.expanduser().absolute()


def refuse_foreign_directory(out: Path | None, marker: str) -> None:
    """Refuse to replace a folder that isn't a result: all that it holds would be gone.

    Parameters
    ----------
    out : Path or None
        Where a result shall go; None for the default.
    marker : str
        A file that every result has.

    Raises
    ------
    DataError
        If the folder has content, but not the file `marker`.
    """
    if out is None:
        return
    out = out.expanduser()
    if out.is_dir():
        if any(out.iterdir()) and not (out / marker).is_file():
            raise DataError(
                f"{out} holds other files than a result, and would be replaced; name a new folder"
            )
    elif out.exists():
        raise DataError(f"{out} is a file; name a folder for the result")

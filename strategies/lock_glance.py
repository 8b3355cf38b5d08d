"""Whether anything of a strategy may be locked, told without loading SQLAlchemy.

A backtest from the command asks this before it trades a bar. The answer no is
certain; the answer yes means that the record must be asked properly.
"""

from __future__ import annotations

from pathlib import Path

_SQLITE = "sqlite:///"


def may_be_locked(url: str, name: str) -> bool:
    """Tell whether a period of a strategy may be locked.

    Parameters
    ----------
    url : str
        SQLAlchemy URL of the record.
    name : str
        Of the strategy.
    """
    if not url.startswith(_SQLITE):
        return True
    path = Path(url.removeprefix(_SQLITE).split("?", 1)[0])
    if not path.is_file():
        return False  # Nothing was ever recorded here.
    import sqlite3
    from contextlib import closing

    query = (
        "SELECT 1 FROM locked_period JOIN strategy USING (strategy_id) "
        "WHERE strategy.name = ? LIMIT 1"
    )
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as record:
            return record.execute(query, (name,)).fetchone() is not None
    except sqlite3.OperationalError as error:
        # A record from before there were locks has none; whatever else is wrong is not known here.
        return "no such table" not in str(error)
    except sqlite3.DatabaseError:
        return True

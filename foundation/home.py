"""Where the data home and the bars are: the settings that are needed before all others.

Apart from `settings` because reading it must not cost the import of pydantic:
`quarterdeck backtest` needs only these.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


def store_url(environment: Mapping[str, str] | None = None) -> str:
    """Return where bars are kept if not in the data home, such as ``s3://firm/bars``, or ``""``.

    Parameters
    ----------
    environment : mapping, optional
        Where to look for ``QUARTERDECK_STORE_URL``; ``os.environ`` by default.
    """
    return (os.environ if environment is None else environment).get("QUARTERDECK_STORE_URL", "")


def data_home(environment: Mapping[str, str] | None = None) -> Path:
    """Return the data home's absolute path, without making it.

    Parameters
    ----------
    environment : mapping, optional
        Where to look for ``QUARTERDECK_HOME``; ``os.environ`` by default.

    Returns
    -------
    Path
        ``QUARTERDECK_HOME``, or ``.quarterdeck`` in the checkout when it is
        not set or empty.
    """
    stated = (os.environ if environment is None else environment).get("QUARTERDECK_HOME", "")
    return Path(stated).expanduser().absolute() if stated else CHECKOUT / ".quarterdeck"


def record_url(environment: Mapping[str, str] | None = None) -> str:
    """Return the SQLAlchemy URL of the record: by default a SQLite file in the data home.

    Parameters
    ----------
    environment : mapping, optional
        Where to look for ``QUARTERDECK_DATABASE_URL``; ``os.environ`` by default.
    """
    stated = (os.environ if environment is None else environment).get(
        "QUARTERDECK_DATABASE_URL", ""
    )
    return stated or f"sqlite:///{data_home(environment) / 'quarterdeck.sqlite'}"

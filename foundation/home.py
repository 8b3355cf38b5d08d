"""Where the data home is: the one setting that is needed before all others.

Apart from `settings` because reading it must not cost the import of pydantic:
`quarterdeck backtest` needs only this path.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


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

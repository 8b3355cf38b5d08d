"""What indicators exist and how they are called.

Owns names, parameters, inputs, outputs, dimensions, state sizes, warm-ups and
conventions. Imports neither numba nor an oracle: a kernel is known by its
operation code, and the long tail by a table.
"""

from __future__ import annotations

import difflib

from trading.indicators.kernels import INDICATORS, ROLLING
from trading.indicators.specs import IndicatorSpec, Kind, Parameter


def find(name: str) -> IndicatorSpec | None:
    """Return the indicator of that name, a kernel before the long tail."""
    return INDICATORS.get(name)


def suggest(name: str) -> str | None:
    """Return the known name that is most like an unknown one, if one is."""
    close = difflib.get_close_matches(name, INDICATORS, n=1, cutoff=0.6)
    return close[0] if close else None


__all__ = ["INDICATORS", "ROLLING", "IndicatorSpec", "Kind", "Parameter", "find", "suggest"]

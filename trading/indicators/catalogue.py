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
    """Return the indicator of that name, a kernel before the long tail.

    Raises
    ------
    SpecError
        If the name is known and refused, such as one that looks ahead.
    """
    spec = INDICATORS.get(name)
    if spec is not None:
        return spec
    from trading.indicators.tail import tail_spec

    return tail_spec(name)


def refusal(name: str, output: str = "") -> str:
    """Return why an indicator or one of its outputs can't be had, or an empty text."""
    from trading.indicators import tail

    return tail.refusal(name, output)


def all_names() -> list[str]:
    """Return every name that `find` knows, in alphabetical order."""
    from trading.indicators.tail import tail_specs

    return sorted({*INDICATORS, *tail_specs()})


def suggest(name: str) -> str | None:
    """Return the known name that is most like an unknown one, if one is.

    Of names that are equally near a kernel's is meant: `rsl` is `rsi`, not `rsx`.
    """
    near = difflib.get_close_matches(name, all_names(), n=5, cutoff=0.6)
    if not near:
        return None

    def likeness(x: str) -> tuple[float, bool]:
        return difflib.SequenceMatcher(None, x, name).ratio(), x in INDICATORS

    return max(near, key=likeness)


__all__ = [
    "INDICATORS",
    "ROLLING",
    "IndicatorSpec",
    "Kind",
    "Parameter",
    "all_names",
    "find",
    "refusal",
    "suggest",
]

"""The description of one indicator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """How an indicator is computed."""

    KERNEL = "kernel"  # Incrementally, by a step kernel.
    TAIL = "tail"  # By TA-Lib or pandas-ta over the last bars.


@dataclass(frozen=True, slots=True)
class Parameter:
    """A constant argument of an indicator, low <= value <= high."""

    name: str
    default: float
    low: float
    high: float
    integer: bool = True


@dataclass(frozen=True, slots=True)
class IndicatorSpec:
    """One indicator.

    Attributes
    ----------
    name, title : str
        As expressions call it; as people read it.
    parameters : tuple of Parameter
        Constant arguments, after the series.
    inputs : tuple of str
        Rows in the kernel's order: ``series`` (an expression, the first
        argument, default ``close``), ``open``, ``high``, ``low``, ``close``,
        ``volume``, or ``session`` (a number that changes with the session).
    outputs : tuple of str
        The first is meant when an expression names none.
    dimensions : tuple of str
        One for each output: ``input`` (as the series), ``price``, ``volume`` or
        ``none``.
    op : int
        Operation code; -1 for the long tail.
    state_size : function of the parameters
        float64 slots of a kernel's state.
    warmup : function of the parameters
        Leading NaN outputs on clean input; all outputs start together.
    oracle : str
        What its values are compared with.
    convention : str
        Seeds and exceptions that a reader of values must know.
    oracle_difference : float
        Largest relative difference measured: of a kernel from its oracle, of
        the long tail from its value over 5,000 bars; see docs/indicators.md.
    refuse : function of the parameters, or None
        Returns why the parameters do not fit together, or an empty text.
    window : function of the parameters, or None
        Bars that an indicator of the long tail is computed over.
    """

    name: str
    title: str
    parameters: tuple[Parameter, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dimensions: tuple[str, ...]
    op: int
    state_size: Callable[[Sequence[float]], int]
    warmup: Callable[[Sequence[float]], int]
    kind: Kind
    oracle: str
    convention: str = ""
    oracle_difference: float = 0.0
    refuse: Callable[[Sequence[float]], str] | None = None
    window: Callable[[Sequence[float]], int] | None = None

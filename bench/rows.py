"""What a benchmark gives back: rows, and the error of one that is not valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class NotValid(Exception):
    """The two sides did not do the same work, so their times mean nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one benchmark.

    Attributes
    ----------
    name : str
        The benchmark, with a row's own name after a slash: ``single/all features``.
    value : float
        The platform's figure, in `unit`.
    unit : str
        What `value` counts.
    ratio : float or None
        The platform over the peer so that more is better for a speed and
        less is better for a duration; `target` says which.
    peer : str
        What `ratio` compares with; empty when the row stands alone.
    target : str
        The required figure in words, such as ``ratio >= 40``; empty when the
        row is for information.
    met : bool or None
        Whether the figure is as required; None without a target.
    details : mapping
        Whatever else a reader needs to judge the figure.
    """

    name: str
    value: float
    unit: str
    ratio: float | None = None
    peer: str = ""
    target: str = ""
    met: bool | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the row as one flat mapping, the required keys first."""
        return {
            "name": self.name,
            "value": self.value,
            "ratio": self.ratio,
            "peer": self.peer,
            "unit": self.unit,
            "target": self.target,
            "met": self.met,
            **self.details,
        }

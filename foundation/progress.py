"""How long work tells how far it is, whoever listens.

A command draws a bar, a Dagster run writes lines to its log, a test listens
not at all.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called now and then by long work, from the thread that does it."""

    def __call__(self, done: int, total: int, label: str = "") -> None:
        """Report that `done` of `total` steps are done.

        Parameters
        ----------
        done : int
            Steps finished, 0 to `total`.
        total : int
            All steps; 0 when not known.
        label : str
            What is being done, in a few words.
        """
        ...


def silent(done: int, total: int, label: str = "") -> None:
    """Ignore the report; the default wherever a `Progress` is optional."""

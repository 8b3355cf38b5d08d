"""The pieces that a report is laid out from: notes, tiles, figures, tables as text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How much a note matters to who relies on the figures."""

    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence that the reader must know to judge the figures."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the figures at the top, with what to compare it to."""

    label: str
    value: str
    detail: str
    tone: str = ""  # "gain", "loss" or neither.


@dataclass(frozen=True, slots=True)
class Figure:
    """One key figure: its value, and the convention behind it."""

    label: str
    value: str
    convention: str


@dataclass(frozen=True, slots=True)
class Group:
    """Key figures that belong together."""

    title: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table as text; columns named in `left` hold words, the others numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: frozenset[str] = frozenset()
    note: str = ""

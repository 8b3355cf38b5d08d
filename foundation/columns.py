"""Column types and the one `MetaData` of all tables.

SQLite takes a text in an integer column unless the table is STRICT, and a
STRICT table knows only INTEGER, REAL, TEXT and BLOB. The types here have one
meaning and one form on SQLite and on PostgreSQL; every table is declared with
``sqlite_strict=True``.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

metadata = MetaData(
    # Named constraints, because a migration can drop only what has a name.
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# 64 bits on both: SQLite's INTEGER is, PostgreSQL's is not.
Int64 = BigInteger().with_variant(Integer(), "sqlite")


class UtcTimestamp(TypeDecorator[datetime]):
    """An aware datetime, stored and given back in UTC with microseconds.

    Text of fixed width on SQLite, so that it sorts as time; ``timestamptz``
    on PostgreSQL.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type for the database."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse a time without zone; it could be off by hours."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a stored time must have a time zone, got {value.isoformat()}")
        utc = value.astimezone(UTC)
        return utc if dialect.name == "postgresql" else utc.isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Give the time back in UTC."""
        if value is None:
            return None
        time = datetime.fromisoformat(value) if isinstance(value, str) else value
        return time.astimezone(UTC)


class JsonText(TypeDecorator[Any]):
    """A JSON value as text in canonical form: keys sorted, no spaces.

    The same value has the same bytes on every database. NaN and infinity are
    refused, because JSON has neither.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Write canonical JSON."""
        if value is None:
            return None
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Read it back."""
        return None if value is None else json.loads(value)


class EnumText(TypeDecorator[Enum]):
    """A member of a closed set, stored as its value.

    Parameters
    ----------
    kind : type of Enum
        With text values. A value that isn't of the set raises when read.
    """

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[Enum]) -> None:
        self.kind = kind
        super().__init__()

    def process_bind_param(self, value: Enum | None, dialect: Dialect) -> str | None:
        """Store the member's value."""
        return None if value is None else str(self.kind(value).value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Enum | None:
        """Give the member back."""
        return None if value is None else self.kind(value)


def is_one_of(column: str, kind: type[Enum]) -> str:
    """Return the SQL condition that a column holds a value of the set.

    Examples
    --------
    >>> from enum import StrEnum
    >>> is_one_of("side", StrEnum("Side", ["BUY", "SELL"]))
    "side IN ('buy', 'sell')"
    """
    return f"{column} IN ({', '.join(repr(str(member.value)) for member in kind)})"

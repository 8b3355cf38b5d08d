"""Where bars came from, what of them was revised, and which nobody should trade on.

Three small tables beside the bars of a series, each a Parquet file named by
its content and named by ``series.json``, so that they change together with the
bars or not at all. Rows are only ever added, but for the release of a bar from
quarantine, which is noted in its row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from foundation.errors import DataError
from foundation.files import atomic_file
from foundation.objects import ObjectPath, Place
from market_data.columns import (
    ASK_NAMES,
    BID_NAMES,
    COLUMN_NAMES,
    INSTANT,
    BarColumns,
    arrow_column,
    column_values,
)

PROVENANCE, REVISIONS, QUARANTINE = "provenance", "revisions", "quarantine"

SCHEMAS: Mapping[str, pa.Schema] = {
    PROVENANCE: pa.schema(
        {
            "part": pa.string(),
            "source": pa.string(),
            "request": pa.string(),
            "retrieved_at": INSTANT,
            "sha256": pa.string(),
            "rows": pa.int64(),
            "first_ts": INSTANT,
            "last_ts": INSTANT,
        }
    ),
    REVISIONS: pa.schema(
        {
            "ts": INSTANT,
            "field": pa.string(),
            "old": pa.float64(),
            "new": pa.float64(),
            "source": pa.string(),
            "request": pa.string(),
            "sha256": pa.string(),
            "revised_at": INSTANT,
        }
    ),
    QUARANTINE: pa.schema(
        {
            "ts": INSTANT,
            "reason": pa.string(),
            "quarantined_by": pa.string(),
            "quarantined_at": INSTANT,
            "released_by": pa.string(),
            "released_at": INSTANT,
        }
    ),
}


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where bars came from.

    Attributes
    ----------
    source : str
        Who gave them, such as ``alpaca``, ``yahoo`` or ``file``.
    request : str
        What was asked for, such as a file's name or a URL without secrets.
    retrieved_at : datetime
        When the answer came, aware.
    sha256 : str
        Of the bytes of the answer or file, hexadecimal.
    """

    source: str
    request: str
    retrieved_at: datetime
    sha256: str

    def __post_init__(self) -> None:
        if self.retrieved_at.tzinfo is None:
            raise ValueError(
                f"a time of retrieval must have a time zone, got {self.retrieved_at.isoformat()}"
            )


@dataclass(frozen=True, slots=True)
class PartProvenance:
    """Where the bars that were written to one part of a series came from.

    Attributes
    ----------
    part : str
        Month of intraday bars such as ``2024-01``, or ``all``.
    rows : int
        Bars of the part that came with this answer.
    first_ns, last_ns : int
        Open times of the first and the last of them, UTC nanoseconds.
    """

    part: str
    provenance: Provenance
    rows: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class Revision:
    """Bars of one part whose values a source has changed.

    Attributes
    ----------
    ts : int64 array, shape (n_changes,)
        Open times, UTC nanoseconds; a bar has a row for each changed field.
    field : tuple of str
    old, new : float64 arrays, shape (n_changes,)
        NaN where there was, or is, nothing.
    """

    ts: NDArray[np.int64]
    field: tuple[str, ...]
    old: NDArray[np.float64]
    new: NDArray[np.float64]


def read_records(folder: Place, name: str, kind: str) -> pa.Table:
    """Return a table of records, empty for a series that has none.

    Parameters
    ----------
    name : str
        The file's name as the series has it, or empty.
    kind : str
        One of `SCHEMAS`.
    """
    if not name:
        return SCHEMAS[kind].empty_table()
    try:
        path = folder / name
        with pq.ParquetFile(path.open() if isinstance(path, ObjectPath) else path) as file:
            return file.read(use_threads=False)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{folder / name} is damaged: {str(error).splitlines()[0]}") from error


def write_records(folder: Place, kind: str, table: pa.Table) -> str:
    """Write a table of records under a name of its content, and return the name."""
    if table.num_rows == 0:
        return ""
    digest = hashlib.sha256()
    for batch in table.combine_chunks().to_batches():
        digest.update(batch.serialize().to_pybytes())
    name = f"{kind}.{digest.hexdigest()[:12]}.parquet"
    with atomic_file(folder / name) as partial:
        pq.write_table(table, partial, compression="zstd")
    return name


def provenance_rows(parts: Sequence[PartProvenance]) -> pa.Table:
    """Return the parts as rows."""
    return _table(
        PROVENANCE,
        {
            "part": [one.part for one in parts],
            "source": [one.provenance.source for one in parts],
            "request": [one.provenance.request for one in parts],
            "retrieved_at": [one.provenance.retrieved_at for one in parts],
            "sha256": [one.provenance.sha256 for one in parts],
            "rows": [one.rows for one in parts],
            "first_ts": _instants([one.first_ns for one in parts]),
            "last_ts": _instants([one.last_ns for one in parts]),
        },
    )


def parts_of_rows(table: pa.Table) -> list[PartProvenance]:
    """Return the rows as parts."""
    first = column_values(table["first_ts"], "i8") * 1000
    last = column_values(table["last_ts"], "i8") * 1000
    return [
        PartProvenance(
            row["part"],
            Provenance(
                row["source"], row["request"], row["retrieved_at"].astimezone(UTC), row["sha256"]
            ),
            row["rows"],
            int(first[i]),
            int(last[i]),
        )
        for i, row in enumerate(table.drop_columns(["first_ts", "last_ts"]).to_pylist())
    ]


def find_revision(old: BarColumns, merged: BarColumns) -> Revision:
    """Return what is not as it was in bars that were there before.

    Parameters
    ----------
    old, merged : BarColumns
        `merged` has a bar for every time of `old`.
    """
    at = np.searchsorted(merged.ts, old.ts)
    found: list[tuple[NDArray[np.int64], str, NDArray[np.float64], NDArray[np.float64]]] = []
    for names, before, after in (
        (COLUMN_NAMES, old.prices, merged.prices),
        (BID_NAMES, old.bid, merged.bid),
        (ASK_NAMES, old.ask, merged.ask),
        (("halted",), _as_rows(old.halted), _as_rows(merged.halted)),
    ):
        if before is None and after is None:
            continue
        # A side that was never there is missing everywhere, a halt that was never noted is none.
        nothing = 0.0 if names == ("halted",) else np.nan
        for i, name in enumerate(names):
            one = np.full(old.n_bars, nothing) if before is None else before[i]
            other = np.full(old.n_bars, nothing) if after is None else after[i, at]
            rows = np.flatnonzero(~((one == other) | (np.isnan(one) & np.isnan(other))))
            if rows.shape[0]:
                found.append((old.ts[rows], name, one[rows], other[rows]))
    if not found:
        return Revision(np.zeros(0, np.int64), (), np.zeros(0), np.zeros(0))
    ts = np.concatenate([part[0] for part in found])
    order = np.argsort(ts, kind="stable")
    fields = [name for rows, name, _, _ in found for _ in range(rows.shape[0])]
    return Revision(
        ts[order],
        tuple(fields[i] for i in order),
        np.concatenate([part[2] for part in found])[order],
        np.concatenate([part[3] for part in found])[order],
    )


def _as_rows(flags: NDArray[np.bool_] | None) -> NDArray[np.float64] | None:
    return None if flags is None else flags[np.newaxis].astype(np.float64)


def revision_rows(revisions: Sequence[Revision], by: Provenance, *, at: datetime) -> pa.Table:
    """Return revisions as rows, in order of time.

    Parameters
    ----------
    at : datetime
        When stored bars change, aware; the answer may have come long before.
    """
    ts = np.concatenate([one.ts for one in revisions])
    n_rows = ts.shape[0]
    return _table(
        REVISIONS,
        {
            "ts": _instants(ts),
            "field": [name for one in revisions for name in one.field],
            "old": arrow_column(np.concatenate([one.old for one in revisions]), pa.float64()),
            "new": arrow_column(np.concatenate([one.new for one in revisions]), pa.float64()),
            "source": [by.source] * n_rows,
            "request": [by.request] * n_rows,
            "sha256": [by.sha256] * n_rows,
            "revised_at": [at] * n_rows,
        },
    )


def quarantine_rows(ts: NDArray[np.int64], *, reason: str, by: str, at: datetime) -> pa.Table:
    """Return bars that go into quarantine as rows."""
    n_rows = ts.shape[0]
    return _table(
        QUARANTINE,
        {
            "ts": _instants(ts),
            "reason": [reason] * n_rows,
            "quarantined_by": [by] * n_rows,
            "quarantined_at": [at] * n_rows,
            "released_by": [None] * n_rows,
            "released_at": [None] * n_rows,
        },
    )


def in_force(table: pa.Table) -> pa.Table:
    """Return the rows of bars that are in quarantine now."""
    return table.filter(table["released_at"].is_null())


def released(
    table: pa.Table, ts: NDArray[np.int64], *, by: str, at: datetime
) -> tuple[pa.Table, int]:
    """Return the table with bars released, and how many."""
    chosen = np.isin(column_values(table["ts"], "i8") * 1000, ts)
    chosen &= np.asarray([value is None for value in table["released_at"].to_pylist()], np.bool_)
    rows = table.to_pylist()
    for i in np.flatnonzero(chosen).tolist():
        rows[i] |= {"released_by": by, "released_at": at}
    return pa.Table.from_pylist(rows, schema=SCHEMAS[QUARANTINE]), int(chosen.sum())


def without(columns: BarColumns, quarantine: pa.Table) -> BarColumns:
    """Return the bars that are not in quarantine."""
    bad = column_values(in_force(quarantine)["ts"], "i8") * 1000
    keep = ~np.isin(columns.ts, bad)
    return columns if bool(keep.all()) else columns.select(keep)


def _instants(ns: NDArray[np.int64] | Sequence[int]) -> pa.Array:
    return arrow_column(np.asarray(ns, np.int64) // 1000, INSTANT)


def _table(kind: str, columns: dict[str, Any]) -> pa.Table:
    schema = SCHEMAS[kind]
    return pa.table(
        {
            field.name: value if isinstance(value, pa.Array) else pa.array(value, field.type)
            for field in schema
            for value in [columns[field.name]]
        },
        schema=schema,
    )

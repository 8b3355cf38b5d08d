"""The strategy document that a text names: a file, a stored version, or the text itself."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from foundation.errors import SpecError
from foundation.home import CHECKOUT
from strategies.versions import get_version
from trading.document import StrategyDocument, load_document

HASH_DIGITS = frozenset("0123456789abcdef")
N_HASH_DIGITS_MIN, N_HASH_DIGITS = 6, 64


def find_document(strategy: str, database: Engine) -> StrategyDocument:
    """Return the document that a text names or is.

    Parameters
    ----------
    strategy : str
        Text of a document, digits of a stored version's hash, or a path;
        relative ones are looked for in the working directory, then in the
        checkout.
    database : Engine
        The record, with its stored versions.

    Raises
    ------
    SpecError, DataError
        If it is none of these, or not a valid document.
    """
    text = strategy.strip()
    if not text:
        raise SpecError("a path, a version's hash or a document is needed", path="strategy")
    if "\n" in text or text.startswith("{"):
        return load_document(strategy.encode())
    path = next((p for p in (Path(text), CHECKOUT / text) if p.is_file()), None)
    if path is not None:
        return load_document(path)
    if is_hash(text):
        return load_document(get_version(database, text.lower()).document.encode())
    raise SpecError(f"no file {text!r}, and no digits of a version's hash", path="strategy")


def is_hash(text: str) -> bool:
    """Tell whether a text may be a version's hash, or the beginning of one."""
    digits = text.lower()
    return N_HASH_DIGITS_MIN <= len(digits) <= N_HASH_DIGITS and HASH_DIGITS.issuperset(digits)

"""The strategy document: its text forms, its identity and its values.

Owns decoding from YAML or JSON with messages that name the place, the
canonical form and the hash of a version, the JSON Schema, and setting
parameters. Does not own the fields (`document_fields`), the expressions
(`trading.expressions`), nor instruments or bars.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from foundation.errors import SpecError
from trading.document_fields import ParameterRange, StrategyDocument
from trading.structured_text import read_structured

__all__ = [
    "ParameterRange",
    "StrategyDocument",
    "canonical",
    "check_value",
    "check_values",
    "document_from",
    "json_schema",
    "load_document",
    "version_hash",
    "with_parameters",
]


def load_document(source: str | bytes | Path) -> StrategyDocument:
    """Read and check a strategy document.

    Parameters
    ----------
    source : str, bytes or Path
        YAML or JSON text, or the path of a file of it; a one-line str that ends
        in .yaml, .yml or .json is a path.

    Raises
    ------
    SpecError
        With the place in the document and, in an expression, the column.
    """
    if isinstance(source, str) and _is_path(source):
        source = Path(source)
    text = _read(source) if isinstance(source, Path) else source
    return document_from(read_structured(text))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SpecError(f"can't read {path}: {error.strerror}") from None


def _is_path(text: str) -> bool:
    return "\n" not in text and text.endswith((".yaml", ".yml", ".json"))


def document_from(data: Any) -> StrategyDocument:
    """Make a checked document of plain data, as decoded from YAML, JSON or a form."""
    document = _convert(data)
    # Imported here: decoding the types of a document needs no language.
    from trading.expressions.strategy import resolve_strategy

    resolve_strategy(document)
    return document


def canonical(document: StrategyDocument) -> bytes:
    """Return the document's one normal form: JSON, sorted keys, no defaults, UTF-8.

    Defaults are left out so that a field that a later version adds changes no
    hash of a stored document.
    """
    return json.dumps(
        _plain(document), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def version_hash(document: StrategyDocument) -> str:
    """Return the SHA-256 of the canonical form, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(document)).hexdigest()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a strategy document."""
    schema = msgspec.json.schema(StrategyDocument)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Quarterdeck strategy document",
    } | schema


def with_parameters(document: StrategyDocument, values: Mapping[str, float]) -> StrategyDocument:
    """Return the document with other defaults of its parameters.

    Raises
    ------
    SpecError
        If a parameter is unknown, or a value is out of its range or off its step.
    """
    check_values(document, values)
    parameters = {
        name: msgspec.structs.replace(p, default=float(values[name])) if name in values else p
        for name, p in document.parameters.items()
    }
    changed = msgspec.structs.replace(document, parameters=parameters)
    from trading.expressions.strategy import resolve_strategy

    resolve_strategy(changed)
    return changed


def check_values(document: StrategyDocument, values: Mapping[str, float]) -> None:
    """Refuse values of unknown parameters and values that a parameter doesn't allow."""
    for name, value in values.items():
        if name not in document.parameters:
            known = ", ".join(sorted(document.parameters)) or "none"
            raise SpecError(
                f"unknown parameter `{name}`", path="parameters", hint=f"there are {known}"
            )
        check_value(document.parameters[name], float(value), f"parameters.{name}")


def check_value(parameter: ParameterRange, value: float, path: str) -> None:
    """Refuse a value outside low to high, or between two steps."""
    low, high, step = parameter.low, parameter.high, parameter.step
    if not math.isfinite(value):
        raise SpecError(f"a finite number is needed, got {value}", path=path)
    if (low is not None and value < low) or (high is not None and value > high):
        raise SpecError(f"{value:g} is not within {_end(low)} to {_end(high)}", path=path)
    if step is not None and low is not None:
        n_steps = (value - low) / step
        if abs(n_steps - round(n_steps)) > 1e-6:
            raise SpecError(f"{value:g} is not {low:g} plus whole steps of {step:g}", path=path)


def _end(bound: float | None) -> str:
    return "any" if bound is None else f"{bound:g}"


def _plain(value: Any) -> Any:
    """Return plain data with fields that equal their default left out."""
    if isinstance(value, Struct):
        found = {}
        for field in msgspec.structs.fields(value):
            item = getattr(value, field.name)
            default = field.default
            if field.default_factory is not msgspec.NODEFAULT:
                default = field.default_factory()
            if item != default:
                found[field.name] = _plain(item)
        return found
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _convert(data: Any) -> StrategyDocument:
    try:
        return msgspec.convert(data, StrategyDocument)
    except msgspec.ValidationError as error:
        # Imported on failure only.
        from trading.document_errors import spec_error

        raise spec_error(str(error), data, StrategyDocument) from None

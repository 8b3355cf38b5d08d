"""What msgspec refuses in a document, said in the words of the document."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Struct

from foundation.errors import SpecError
from trading.expressions.calls import closest

_AT = re.compile(r" - at `(?:key in )?([^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`$", re.DOTALL)
_EXPECTED = re.compile(r"Expected `([^`]*)`, got `([^`]*)`$")
_CHOICE = re.compile(r"Invalid enum value (.*)$", re.DOTALL)
_TYPE_WORDS = {
    "float": "a number",
    "int": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "keys and values",
    "null": "nothing",
}


def spec_error(text: str, data: Any, kind: type[Struct]) -> SpecError:
    """Translate the text of a `msgspec.ValidationError` of `data` as a `kind`."""
    at = _AT.search(text)
    message = text[: at.start()] if at else text
    path = at.group(1).removeprefix("$").removeprefix(".") if at else ""
    path = _with_key(path, data, kind)
    type_here = _type_at(path, kind)
    if unknown := _UNKNOWN.match(message):
        part = _struct_in(type_here)
        fields = [f.name for f in msgspec.structs.fields(part)] if part else []
        if not unknown.group(1).isidentifier():
            # In YAML, {when: rsi(close, 14) < 30} is two keys.
            return SpecError(
                f"unknown key `{unknown.group(1)}`",
                path=path,
                hint="inside { } a comma ends an expression, so put the expression in quotes",
            )
        guess = closest(unknown.group(1), fields)
        hint = f"did you mean `{guess}`?" if guess else f"known are {', '.join(fields)}"
        return SpecError(f"unknown key `{unknown.group(1)}`", path=path, hint=hint)
    if missing := _MISSING.match(message):
        return SpecError(f"`{missing.group(1)}` is missing", path=path)
    if choice := _CHOICE.match(message):
        choices = _choices(type_here)
        guess = closest(choice.group(1).strip("'"), choices)
        hint = f"did you mean `{guess}`?" if guess else ""
        return SpecError(
            f"expected one of {', '.join(choices)}, got {choice.group(1)}", path=path, hint=hint
        )
    if expected := _EXPECTED.match(message):
        wanted = [_TYPE_WORDS.get(w, w) for w in expected.group(1).split(" | ")]
        wanted = [w for w in dict.fromkeys(wanted) if w != "nothing"]
        got = _TYPE_WORDS.get(expected.group(2), expected.group(2))
        hint = "write it in quotes" if wanted == ["text"] and got == "a number" else ""
        return SpecError(f"expected {' or '.join(wanted)}, got {got}", path=path, hint=hint)
    if "matching regex" in message:
        message = (
            "lower-case letters, digits, - and _ are needed, at most 64, not beginning with - or _"
        )
    return SpecError(message[:1].lower() + message[1:], path=path)


def _with_key(path: str, data: Any, kind: type[Struct]) -> str:
    """Name the table's key that msgspec writes as ``[...]``."""
    field, dots, rest = path.partition("[...]")
    table = data.get(field) if isinstance(data, dict) else None
    if not dots or not isinstance(table, dict):
        return path
    value_type = get_args(_plain(_type_at(field, kind)))[1]
    for key, value in table.items():
        try:
            msgspec.convert({key: value}, dict[str, value_type])  # type: ignore[valid-type]
        except msgspec.ValidationError:
            return f"{field}.{key}{rest}"
    return path


def _type_at(path: str, kind: type[Struct]) -> Any:
    """Return the type of the place ``execution.exit.profit_target[0].at``."""
    here: Any = kind
    for step in re.findall(r"[^.\[\]]+", path):
        plain = _plain(here)
        if get_origin(plain) is dict:
            here = get_args(plain)[1]
            continue
        part = _struct_in(plain)
        if part is None:
            return Any
        types = {f.name: f.type for f in msgspec.structs.fields(part)}
        # An index into a list of parts stays at the type of the parts.
        here = part if step.isdigit() else types.get(step, Any)
    return here


def _plain(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _struct_in(kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, Struct):
        return kind
    return next((found for part in get_args(kind) if (found := _struct_in(part))), None)


def _choices(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(x) for x in get_args(kind)]
    return next((found for part in get_args(kind) if (found := _choices(part))), [])

"""YAML and JSON text to plain data, with limits.

Owns what a document may look like as text: no duplicate keys, no references,
no tags, bounded size and depth, and numbers and words as in JSON. So `NO` and
`ON` are symbols and not booleans, `9:30` is text and `010` is not eight. Does
not own what the fields mean.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from foundation.errors import SpecError

TEXT_BYTES_MAX = 256 * 1024
DEPTH_MAX = 20
ITEMS_MAX = 20_000

_NUMBER = re.compile(
    r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9]+", re.ASCII
)
_WORDS: dict[str, bool | None] = {
    "true": True,
    "True": True,
    "false": False,
    "False": False,
    "null": None,
    "~": None,
    "": None,
}


def read_structured(text: str | bytes) -> Any:
    """Decode YAML or JSON (recognised by its opening brace).

    Raises
    ------
    SpecError
        With line and column of what is wrong.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise SpecError(f"the text is not UTF-8, at byte {error.start}") from None
    if len(text.encode("utf-8", "replace")) > TEXT_BYTES_MAX:
        raise SpecError(f"the document has more than {TEXT_BYTES_MAX // 1024} KiB")
    text = text.removeprefix("\ufeff")
    return _read_json(text) if text.lstrip().startswith("{") else _read_yaml(text)


def _read_json(text: str) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in items:
            if key in found:
                raise SpecError(f"key `{key}` is given twice")
            found[key] = value
        return found

    def constant(word: str) -> Any:
        raise SpecError(f"{word} is not a number that a document may hold")

    try:
        data = json.loads(
            text, object_pairs_hook=pairs, parse_constant=constant, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        raise SpecError(
            f"not valid JSON: {error.msg} in line {error.lineno}", column=error.colno
        ) from None
    except (RecursionError, ValueError) as error:
        # ValueError: an integer of more digits than Python converts.
        raise SpecError(f"not valid JSON: {error}".splitlines()[0]) from None
    _check_json_depth(data)
    return data


def _check_json_depth(data: Any) -> None:
    level, depth, n_items = [data], 0, 0
    while level:
        depth += 1
        n_items += len(level)
        if depth > DEPTH_MAX:
            raise SpecError(f"the document is nested more than {DEPTH_MAX} deep")
        if n_items > ITEMS_MAX:
            raise SpecError(f"the document has more than {ITEMS_MAX} values")
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise SpecError(f"{text} is too large a number")
    return value


def _read_yaml(text: str) -> Any:
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        return _Builder(yaml).build(yaml.parse(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}" if mark else ""
        column = mark.column + 1 if mark else None
        raise SpecError(
            f"not valid YAML: {error.problem or error.context}{where}", column=column
        ) from None
    except yaml.YAMLError as error:
        raise SpecError(f"not valid YAML: {' '.join(str(error).split())}") from None


class _Builder:
    """Builds plain data from YAML events, without recursion and without references."""

    def __init__(self, yaml: Any) -> None:
        self.yaml = yaml
        self.stack: list[tuple[Any, list[Any]]] = []  # Container, and its pending key.
        self.root: list[Any] = []
        self.n_items = 0

    def build(self, events: Any) -> Any:
        y = self.yaml
        for event in events:
            if isinstance(event, y.AliasEvent):
                raise self._error(f"references (`*{event.anchor}`) are not allowed", event)
            if isinstance(event, y.DocumentStartEvent) and self.root:
                raise self._error("more than one document in the text", event)
            if isinstance(event, y.ScalarEvent):
                self._place(self._scalar(event), event)
            elif isinstance(event, y.MappingStartEvent):
                self._open({}, event)
            elif isinstance(event, y.SequenceStartEvent):
                self._open([], event)
            elif isinstance(event, y.MappingEndEvent | y.SequenceEndEvent):
                self.stack.pop()
        if not self.root:
            raise SpecError("the document is empty")
        return self.root[0]

    def _error(self, message: str, event: Any) -> SpecError:
        mark = event.start_mark
        return SpecError(f"{message} in line {mark.line + 1}", column=mark.column + 1)

    def _open(self, container: Any, event: Any) -> None:
        if event.tag is not None:
            raise self._error(f"tags (`{event.tag}`) are not allowed", event)
        self._place(container, event)
        self.stack.append((container, []))
        if len(self.stack) > DEPTH_MAX:
            raise self._error(f"the document is nested more than {DEPTH_MAX} deep", event)

    def _place(self, value: Any, event: Any) -> None:
        self.n_items += 1
        if self.n_items > ITEMS_MAX:
            raise self._error(f"the document has more than {ITEMS_MAX} values", event)
        if not self.stack:
            self.root.append(value)
            return
        container, key = self.stack[-1]
        if isinstance(container, list):
            container.append(value)
        elif not key:
            if isinstance(value, dict | list):
                raise self._error("a key must be a word", event)
            # Keys are text as written: `1:` or `true:` would be no field anyway.
            word = event.value
            if word in container:
                raise self._error(f"key `{word}` is given twice", event)
            key.append(word)
        else:
            container[key.pop()] = value

    def _scalar(self, event: Any) -> Any:
        if event.tag is not None and event.tag != "!":
            raise self._error(f"tags (`{event.tag}`) are not allowed", event)
        text = event.value
        if event.style is not None and event.style != "":
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _NUMBER.fullmatch(text):
            if len(text) > 400:
                raise self._error("the number is too long", event)
            is_integer = text.lstrip("+-").isdigit()
            return int(text) if is_integer else _finite(text)
        return text

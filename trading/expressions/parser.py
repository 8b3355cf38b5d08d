"""Text of an expression to a syntax tree.

A Pratt parser over tokens of one line. It knows the grammar only: which names
exist, and whether a part is a number or a condition, is the resolver's
business. Every refusal is a `SpecError` with the column.

Precedence, loosest first: ``or``, ``and``, ``not``, one comparison, ``+ -``,
``* /``, unary ``-``, and the suffixes ``x[n]``, ``x.output``, ``x @ 1w``. A
suffix belongs to the operand directly before it, so ``close > ema(close, 40) @
1w`` compares the base timeframe's close with the weekly average.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from foundation.errors import SpecError
from trading.expressions.ast import (
    TIMEFRAMES,
    Binary,
    Boolean,
    Call,
    Compare,
    Logic,
    Name,
    Node,
    Number,
    Output,
    Parameter,
    Shift,
    Timeframe,
    Unary,
)

TEXT_LENGTH_MAX = 4000
# Nesting of one expression; well below Python's recursion limit, since each
# level costs the parser about eight frames and every later walk one or two.
DEPTH_MAX = 40
ARGUMENTS_MAX = 32

_TOKEN = re.compile(
    r"""(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<parameter>\$[A-Za-z_][A-Za-z0-9_]*)
      | (?P<operator><=|>=|==|!=|[-+*/<>()\[\],.@=])""",
    re.VERBOSE | re.ASCII,
)
_TIMEFRAME = re.compile(r"\s*(\w+)", re.ASCII)
_SPACE = " \t\r\n"
# What people write who come from another language, and what to write here.
_FOREIGN = {
    "&": "write `and`",
    "|": "write `or`",
    "!": "write `not`, or `!=` to compare",
    "%": "write a fraction, 0.02 for 2 %",
    "^": "multiply instead",
    "{": "use ( )",
    "}": "use ( )",
    "$": "a parameter is written $name",
    "'": "names are written without quotes",
    '"': "names are written without quotes",
}
_COMPARISONS = frozenset(("<", "<=", ">", ">=", "==", "!="))
_END = "end"


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    stop: int

    def __str__(self) -> str:
        return "the end" if self.kind == _END else f"`{self.text}`"


def parse(text: str, path: str = "") -> Node:
    """Parse one expression.

    Parameters
    ----------
    text : str
        At most `TEXT_LENGTH_MAX` characters; line breaks count as spaces.
    path : str
        Place in the document, for messages.

    Raises
    ------
    SpecError
        With path, column and, where one helps, a hint.
    """
    if len(text) > TEXT_LENGTH_MAX:
        raise SpecError(
            f"an expression has at most {TEXT_LENGTH_MAX} characters, this one has {len(text)}",
            path=path,
        )
    if not text.strip():
        raise SpecError("the expression is empty", path=path)
    return _Parser(text, path).whole()


def one_line(text: str) -> str:
    """Return the text with every run of white space made one space."""
    return " ".join(text.split())


def split_terms(text: str, path: str = "") -> tuple[Node, tuple[tuple[Node, str], ...]]:
    """Parse a condition, and give its top-level `and` terms with their source text."""
    if len(text) > TEXT_LENGTH_MAX or not text.strip():
        parse(text, path)
    parser = _Parser(text, path)
    node = parser.whole()
    return node, tuple((term, one_line(text[start:stop])) for term, start, stop in parser.terms)


class _Parser:
    """State of one parse: the tokens, the place in them, and the depth."""

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self.tokens = self._tokens()
        self.i = 0
        self.depth = 0
        self.terms: list[tuple[Node, int, int]] = []

    def error(self, message: str, start: int, hint: str = "") -> SpecError:
        return SpecError(message, path=self.path, column=start + 1, hint=hint)

    # Tokens.

    def _tokens(self) -> list[_Token]:
        tokens, at = [], 0
        text = self.text
        while at < len(text):
            if text[at] in _SPACE:
                at += 1
                continue
            match = _TOKEN.match(text, at)
            if match is None:
                raise self.error(
                    f"unexpected character `{_printable(text[at])}`", at, _FOREIGN.get(text[at], "")
                )
            token = _Token(str(match.lastgroup), match.group(), at, match.end())
            at = match.end()
            if token.text == "@":
                # A timeframe such as `1w` is one word here and nowhere else.
                word = _TIMEFRAME.match(text, at)
                tokens.append(token)
                if word is None:
                    raise self.error("expected a timeframe after `@`", at, _timeframe_hint())
                token = _Token("timeframe", word.group(1), word.start(1), word.end(1))
                at = word.end()
            elif (
                token.kind == "number"
                and at < len(text)
                and (text[at].isalnum() or text[at] in "_.")
            ):
                raise self.error(
                    f"`{_printable(text[token.start : at + 1])}` is not a number", token.start
                )
            tokens.append(token)
        tokens.append(_Token(_END, "", len(text), len(text)))
        return tokens

    @property
    def now(self) -> _Token:
        return self.tokens[self.i]

    def take(self, text: str) -> bool:
        if self.now.text == text and self.now.kind != _END:
            self.i += 1
            return True
        return False

    def expect(self, text: str, opened: _Token) -> None:
        if not self.take(text):
            raise self.error(
                f"expected `{text}`, found {self.now}",
                self.now.start,
                f"`{opened.text}` was opened at column {opened.start + 1}",
            )

    # Grammar, from the loosest operator to the tightest.

    def whole(self) -> Node:
        node = self.disjunction(top=True)
        if self.now.kind != _END:
            hint = "write `==` to compare" if self.now.text == "=" else ""
            raise self.error(
                f"expected an operator or the end, found {self.now}", self.now.start, hint
            )
        if not self.terms:
            self.terms.append((node, 0, len(self.text)))
        return node

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise self.error(f"the expression is nested more than {DEPTH_MAX} deep", self.now.start)

    def disjunction(self, top: bool = False) -> Node:
        self.deeper()
        first = self.now
        operands = [self.conjunction(top)]
        while self.take("or"):
            operands.append(self.conjunction())
        self.depth -= 1
        if len(operands) == 1:
            return operands[0]
        # `a and b or c` has no top-level `and`, whatever its first part was.
        if top:
            self.terms.clear()
        return Logic("or", tuple(operands), first.start + 1)

    def conjunction(self, top: bool = False) -> Node:
        first = self.now
        spans: list[tuple[Node, int, int]] = []
        while True:
            start = self.now.start
            node = self.negation()
            spans.append((node, start, self.tokens[self.i - 1].stop))
            if not self.take("and"):
                break
        if top:
            self.terms = spans
        if len(spans) == 1:
            return spans[0][0]
        return Logic("and", tuple(node for node, _, _ in spans), first.start + 1)

    def negation(self) -> Node:
        token = self.now
        if self.take("not"):
            self.deeper()
            operand = self.negation()
            self.depth -= 1
            return Logic("not", (operand,), token.start + 1)
        return self.comparison()

    def comparison(self) -> Node:
        start = self.now.start
        left = self.sum()
        token = self.now
        if token.text not in _COMPARISONS:
            return left
        self.i += 1
        middle_start = self.now.start
        right = self.sum()
        if self.now.text in _COMPARISONS:
            a = one_line(self.text[start : token.start])
            b = one_line(self.text[middle_start : self.now.start])
            raise self.error(
                "comparisons can't be chained",
                self.now.start,
                f"write `{a} {token.text} {b} and {b} {self.now.text} ...`, or between(x, low, high)",
            )
        return Compare(token.text, left, right, token.start + 1)

    def sum(self) -> Node:
        return self._chain(("+", "-"), self.product)

    def product(self) -> Node:
        return self._chain(("*", "/"), self.sign)

    def _chain(self, operators: tuple[str, str], operand: Callable[[], Node]) -> Node:
        node = operand()
        n_links = 0
        while self.now.text in operators:
            token = self.now
            self.i += 1
            node = Binary(token.text, node, operand(), token.start + 1)
            n_links += 1
            # `a + b + c ...` is a tree as deep to the left as it is long.
            if n_links > DEPTH_MAX:
                raise self.error(f"more than {DEPTH_MAX} operators in a row", token.start)
        return node

    def sign(self) -> Node:
        token = self.now
        if self.take("-"):
            self.deeper()
            operand = self.sign()
            self.depth -= 1
            if isinstance(operand, Number):
                return Number(-operand.value, token.start + 1)
            return Unary("-", operand, token.start + 1)
        if self.take("+"):
            self.deeper()
            operand = self.sign()
            self.depth -= 1
            return operand
        return self.suffixed()

    def suffixed(self) -> Node:
        node = self.atom()
        n_suffixes = 0
        while True:
            token = self.now
            if self.take("["):
                n = self.sum()
                self.expect("]", token)
                node = Shift(node, n, token.start + 1)
            elif self.take("."):
                name = self.now
                if name.kind != "name":
                    raise self.error(f"expected the name of an output, found {name}", name.start)
                self.i += 1
                node = Output(node, name.text, token.start + 1)
            elif self.take("@"):
                timeframe = self.now
                self.i += 1
                if timeframe.text not in TIMEFRAMES:
                    raise self.error(
                        f"unknown timeframe `{timeframe.text}`", timeframe.start, _timeframe_hint()
                    )
                node = Timeframe(node, timeframe.text, token.start + 1)
            else:
                return node
            n_suffixes += 1
            if n_suffixes > DEPTH_MAX:
                raise self.error(f"more than {DEPTH_MAX} suffixes in a row", token.start)

    def atom(self) -> Node:
        token = self.now
        column = token.start + 1
        if token.kind == "number":
            self.i += 1
            value = float(token.text)
            if value == float("inf"):
                raise self.error(f"{token.text} is too large a number", token.start)
            return Number(value, column)
        if token.kind == "parameter":
            self.i += 1
            return Parameter(token.text[1:], column)
        if token.kind == "name":
            if token.text in ("true", "false"):
                self.i += 1
                return Boolean(token.text == "true", column)
            if token.text in ("and", "or", "not"):
                raise self.error(f"expected an operand, found {token}", token.start)
            self.i += 1
            if self.now.text == "(":
                return self.call(token)
            return Name(token.text, column)
        if self.take("("):
            node = self.disjunction()
            self.expect(")", token)
            return node
        hint = "write `==` to compare" if token.text == "=" else ""
        raise self.error(f"expected an operand, found {token}", token.start, hint)

    def call(self, name: _Token) -> Node:
        opened = self.now
        self.i += 1
        arguments: list[Node] = []
        keywords: list[tuple[str, Node]] = []
        if not self.take(")"):
            while True:
                self._argument(arguments, keywords)
                if len(arguments) + len(keywords) > ARGUMENTS_MAX:
                    raise self.error(f"more than {ARGUMENTS_MAX} arguments", self.now.start)
                if self.take(")"):
                    break
                if not self.take(","):
                    raise self.error(
                        f"expected `,` or `)`, found {self.now}",
                        self.now.start,
                        f"`(` was opened at column {opened.start + 1}",
                    )
        return Call(name.text, tuple(arguments), tuple(keywords), name.start + 1)

    def _argument(self, arguments: list[Node], keywords: list[tuple[str, Node]]) -> None:
        token = self.now
        if token.kind == "name" and self.tokens[self.i + 1].text == "=":
            self.i += 2
            if any(key == token.text for key, _ in keywords):
                raise self.error(f"argument {token} is given twice", token.start)
            keywords.append((token.text, self.disjunction()))
            return
        if keywords:
            raise self.error("a positional argument can't follow a named one", token.start)
        arguments.append(self.disjunction())


def _timeframe_hint() -> str:
    return f"one of {', '.join(TIMEFRAMES)}"


def _printable(text: str) -> str:
    """Show control and other odd characters by their code, so that a log line stays one line."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)

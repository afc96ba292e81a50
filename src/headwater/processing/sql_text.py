"""The text of `flow.sql` as a tree: the one door to sqlglot, with bounds on what is parsed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from headwater.errors import CallerFault

TEXT_LIMIT = 100_000
TOKENS_LIMIT = 10_000
NESTING_LIMIT = 24  # parentheses and CASEs within each other, while parsing
DEPTH_LIMIT = 150  # of the tree: what walks expressions recurs over it
_DIALECT = "duckdb"  # its ASOF JOIN and its division of integers are those of flows


class Refused(Exception):
    """What flow.sql cannot say, at a place: line and column count from 1."""

    def __init__(self, code: str, message: str, why: str, fix: str, place: tuple[int, int] = (1, 1)) -> None:
        super().__init__(message)
        self.code, self.message, self.why, self.fix, self.place = code, message, why, fix, place


def parse(text: str, *, name: str = "flow.sql") -> Any:
    """The one SELECT that the text holds, as sqlglot's tree; `name` is what messages call the text.

    Raises `Refused`, and `CallerFault` without sqlglot.
    """
    try:
        import sqlglot
        from sqlglot.errors import SqlglotError
        from sqlglot.tokens import TokenType
    except ImportError:
        raise CallerFault(
            f"{name} needs sqlglot, which is not installed",
            code="HW-P164",
            detail="SQL is parsed with it; flows in Python do without",
            hint="pip install 'headwater[sql]'",
        ) from None
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # it would write a stranger's text into our log
    if len(text) > TEXT_LIMIT:
        raise _too_much(f"{name} has {len(text)} characters, and {TEXT_LIMIT} are the most")
    try:
        dialect = sqlglot.Dialect.get_or_raise(_DIALECT)
        tokens = dialect.tokenize(text)
        _bounded(tokens, name)
        for token in tokens:
            if token.token_type == TokenType.SESSION:  # a word of SET, of which no SELECT has any
                token.token_type = TokenType.VAR
        statements = [statement for statement in dialect.parser().parse(tokens, text) if statement is not None]
    except RecursionError:
        raise _too_much(f"{name} is nested too deeply") from None
    except SqlglotError as error:
        known = (getattr(error, "errors", None) or [{}])[0]
        said = str(known.get("description") or "a string, name or comment does not end")
        said = said.partition(" but got <Token")[0].rstrip(".")
        # The column is that of the word's last character.
        place = (
            int(known.get("line") or 1),
            max(1, int(known.get("col") or 1) - len(known.get("highlight") or " ") + 1),
        )
        raise _unread(f"{name} is not SQL: {said}", "mend this place", place) from None
    if len(statements) != 1:
        place = next(((token.line, token.col) for token in tokens if token.token_type.name == "SEMICOLON"), (1, 1))
        raise _unread(f"{name} holds {len(statements)} statements", "leave one SELECT; use WITH for steps", place)
    tree = statements[0]
    if _depth(tree) > DEPTH_LIMIT:
        raise _too_much(f"{name} is nested too deeply", place_of(tree, text))
    return tree


def place_of(node: Any, text: str) -> tuple[int, int]:
    """The line and column of the first word of a part of the tree that knows where it stood."""
    starts = [part.meta["start"] for part in node.walk() if "start" in part.meta]
    start = min(starts, default=0)
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)


def _bounded(tokens: list[Any], text: str) -> None:
    if len(tokens) > TOKENS_LIMIT:
        raise _too_much(f"{text} has {len(tokens)} words and signs, and {TOKENS_LIMIT} are the most")
    if not tokens or tokens[0].token_type.name not in ("SELECT", "WITH"):
        place = (tokens[0].line, max(1, tokens[0].col - len(tokens[0].text) + 1)) if tokens else (1, 1)
        raise _unread(f"{text} does not begin with SELECT or WITH", "write one SELECT", place)
    depth = negations = 0
    for token in tokens:
        name = token.token_type.name
        depth += (name in ("L_PAREN", "CASE", "L_BRACKET", "L_BRACE")) - (
            name in ("R_PAREN", "END", "R_BRACKET", "R_BRACE")
        )
        negations = negations + 1 if name in ("NOT", "DASH", "TILDE") else 0
        if depth + negations > NESTING_LIMIT:
            raise _too_much(f"{text} is nested too deeply", (token.line, token.col))


def _depth(tree: Any) -> int:
    def level(nodes: list[Any]) -> Iterator[Any]:
        for node in nodes:
            yield from node.iter_expressions()

    depth, nodes = 0, [tree]
    while nodes:
        depth, nodes = depth + 1, list(level(nodes))
    return depth


def _unread(message: str, fix: str, place: tuple[int, int]) -> Refused:
    return Refused("HW-P155", message, "one SELECT makes the product's stream", fix, place)


def _too_much(message: str, place: tuple[int, int] = (1, 1)) -> Refused:
    why = f"parsing is bounded: {NESTING_LIMIT} parentheses and CASEs within each other, {DEPTH_LIMIT} steps of a tree"
    return Refused("HW-P156", message, why, "take steps apart with WITH, or write flow.py", place)

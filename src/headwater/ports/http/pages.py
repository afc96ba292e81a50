"""An answer in pages that neither skip nor repeat a record, however the topic grows between them.

A page's cursor says how far the first page has read, so that all pages are cut from one answer, and after which record
the next one begins: by what identifies it, not by its number, so that what retention removes shifts nothing. Answers
are folded from the topic; those that were asked for last are kept, within a bound, and only for the pages that follow.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from threading import Lock
from typing import Any

import pyarrow as pa

from headwater.ports.answers import Answer, Question
from headwater.ports.http.ask import Ask
from headwater.ports.http.cursors import Cursors, refused
from headwater.ports.http.served import Served
from headwater.timeline.bitemporal import Record
from headwater.timeline.instant import Instant

_KEPT_ROWS = 500_000
_IDENTITY = ("valid_from", "valid_to", "occurred_at", "event_id", "revision")
_first = itemgetter(0)


@dataclass(frozen=True, slots=True)
class Page:
    """Some records of an answer, or a table of them.

    `next` is the cursor of the page behind it, `tail` that of the snapshot's feed.
    """

    records: Sequence[Record] | pa.Table
    answer: Answer
    recorded: Instant | None
    next: str = ""
    tail: str = ""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What all pages of an answer have in common, and after which record this one begins."""

    question: Question
    history: bool
    tail: str = ""
    after: tuple[str, int] | None = None  # the record's sign, and how many that have it were given


class Pages:
    """Cuts answers into pages, and remembers the last ones."""

    def __init__(self, cursors: Cursors, *, kept_rows: int = _KEPT_ROWS) -> None:
        self._cursors, self._kept_rows = cursors, kept_rows
        self._kept: OrderedDict[tuple[Any, ...], tuple[Answer, list[tuple[str, Record]]]] = OrderedDict()
        self._rows, self._lock = 0, Lock()

    def page(self, served: Served, ask: Ask, *, history: bool = False, form: str = "json") -> Page:
        """A page of an answer, the first one where the request has no cursor; in rows, whatever the form."""
        if ask.cursor:
            asked = self._read(served, ask.cursor, history=history)
        else:
            asked = _Asked(Question(ask.valid, ask.recorded, ask.key), history)
        return self._cut(served, asked, ask.limit)

    def snapshot(self, served: Served, ask: Ask, *, form: str = "json") -> Page:
        """A page of all that is known as of a settled moment, with the cursor of the feed that follows it."""
        if ask.cursor:
            asked = self._read(served, ask.cursor, history=False)
            return self._cut(served, asked, ask.limit)
        answer, feed = served.feeds.bootstrap(ask.recorded)
        with feed:
            tail = self._cursors.write("feed", served.topic, [feed.cursor])
        moment = ask.recorded if ask.recorded is not None else answer.settled_to
        return self._cut(served, _Asked(Question(None, moment, None, answer.ends), False, tail), ask.limit, answer)

    def _cut(self, served: Served, asked: _Asked, limit: int, answer: Answer | None = None) -> Page:
        answer, rows = self._answer(served, asked, answer)
        first = 0
        if asked.after is not None:
            sign, given = asked.after
            first = bisect_left(rows, sign, key=_first) + given
        end = first + limit
        some, next_one = rows[first:end], ""
        if end < len(rows):
            sign = some[-1][0]
            question = replace(asked.question, ends=answer.ends)
            given = end - bisect_left(rows, sign, key=_first)
            next_one = self._write(served, replace(asked, question=question, after=(sign, given)))
        return Page([record for _, record in some], answer, asked.question.recorded_at, next_one, asked.tail)

    def _answer(self, served: Served, asked: _Asked, answer: Answer | None) -> tuple[Answer, list[tuple[str, Record]]]:
        question = asked.question
        if question.ends is not None:
            with self._lock:
                kept = self._kept.get(self._name(served, asked, question.ends))
            if kept is not None:
                return kept
        if answer is None:
            answer = served.answers.history(question) if asked.history else served.answers.as_of(question)
        key = served.product.output.output.key
        rows = sorted(((_sign(record, key, asked.history), record) for record in answer.rows), key=_first)
        self._keep(self._name(served, asked, answer.ends), (answer, rows))
        return answer, rows

    def _name(self, served: Served, asked: _Asked, ends: Mapping[int, int]) -> tuple[Any, ...]:
        question = asked.question
        place = (question.valid_at, question.recorded_at, question.key, tuple(sorted(ends.items())))
        return (served.topic, served.view, asked.history, *place)

    def _keep(self, name: tuple[Any, ...], value: tuple[Answer, list[tuple[str, Record]]]) -> None:
        with self._lock:
            before = self._kept.pop(name, None)
            self._rows += len(value[1]) - (len(before[1]) if before is not None else 0)
            self._kept[name] = value
            while self._rows > self._kept_rows and self._kept:
                _, (_, rows) = self._kept.popitem(last=False)
                self._rows -= len(rows)

    def _write(self, served: Served, asked: _Asked) -> str:
        after = list(asked.after) if asked.after is not None else None
        return self._cursors.write("page", served.topic, [*placed(asked.question), asked.history, asked.tail, after])

    def _read(self, served: Served, text: str, *, history: bool) -> _Asked:
        place = self._cursors.read("page", served.topic, text)
        if place[0] == "index":
            raise refused("it was given by a server with an index")
        *question, of_history, tail, after = place
        if of_history is not history:
            raise refused("it belongs to something else")
        return _Asked(question_of(*question), history, tail, (after[0], after[1]) if after is not None else None)


def placed(question: Question) -> list[Any]:
    """A question as a cursor carries it."""
    key = list(question.key) if question.key is not None else None
    return [question.valid_at, question.recorded_at, key, sorted((question.ends or {}).items())]


def question_of(
    valid: int | None, recorded: int | None, key: list[Any] | None, ends: list[tuple[int, int]]
) -> Question:
    """The question that a cursor carries."""
    return Question(
        None if valid is None else Instant(valid),
        None if recorded is None else Instant(recorded),
        None if key is None else tuple(key),
        dict(ends),
    )


def _sign(record: Record, key: Sequence[str], history: bool) -> str:
    """What a record is known by within an answer, as text that sorts: of a history the time it was recorded first."""
    names = (*(("recorded_at",) if history else ()), *key, *_IDENTITY)
    return json.dumps([_sortable(record.get(name)) for name in names], ensure_ascii=False)


def _sortable(value: object) -> object:
    return f"{value + (1 << 63):020d}" if type(value) is int else value if isinstance(value, str) else repr(value)

"""Pages that are cut from an index: each is read when it is asked for, from the row behind the last one on.

Nothing is kept between pages but what the cursor says: how far the first page has read, and behind which row the next
one begins. So a page costs what it has, however long the answer is, and any server with the index can give it.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace

from headwater.ports.answers import Question
from headwater.ports.http.ask import Ask
from headwater.ports.http.cursors import Cursors, refused
from headwater.ports.http.forms import COLUMNS
from headwater.ports.http.pages import Page, placed, question_of
from headwater.ports.http.served import Served
from headwater.ports.index.answers import After, IndexAnswers

_KIND = "index"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What all pages of an answer have in common, and behind which row this one begins."""

    question: Question
    history: bool
    tail: str = ""
    after: After | None = None


class Slices:
    """Cuts answers into pages."""

    def __init__(self, cursors: Cursors) -> None:
        self._cursors = cursors

    def page(self, served: Served, ask: Ask, *, history: bool = False, form: str = "json") -> Page:
        """A page of an answer, the first one where the request has no cursor; as a table for a form of columns."""
        if ask.cursor:
            return self._cut(served, self._read(served, ask.cursor, history=history), ask.limit, form)
        return self._cut(served, _Asked(Question(ask.valid, ask.recorded, ask.key), history), ask.limit, form)

    def snapshot(self, served: Served, ask: Ask, *, form: str = "json") -> Page:
        """A page of all that is known as of a settled moment, with the cursor of the feed that follows it."""
        if ask.cursor:
            return self._cut(served, self._read(served, ask.cursor, history=False), ask.limit, form)
        question, feed = _answers(served).bootstrap(ask.recorded)
        tail = self._cursors.write("feed", served.topic, [feed])
        return self._cut(served, _Asked(question, False, tail), ask.limit, form)

    def _cut(self, served: Served, asked: _Asked, limit: int, form: str) -> Page:
        found = _answers(served).slice(
            asked.question, history=asked.history, after=asked.after, limit=limit, columns=form in COLUMNS
        )
        following = ""
        if found.after is not None:
            question = replace(asked.question, ends=found.answer.ends)
            following = self._write(served, replace(asked, question=question, after=found.after))
        return Page(found.rows, found.answer, asked.question.recorded_at, following, asked.tail)

    def _write(self, served: Served, asked: _Asked) -> str:
        after = asked.after
        assert after is not None
        *said, ends = placed(asked.question)
        place = [
            _KIND,
            said,
            ends,
            asked.history,
            asked.tail,
            [after.partition, base64.b64encode(after.stem).decode(), after.sign],
        ]
        return self._cursors.write("page", served.topic, place)

    def _read(self, served: Served, text: str, *, history: bool) -> _Asked:
        kind, *place = self._cursors.read("page", served.topic, text)
        if kind != _KIND:
            raise refused("it was given before this server had an index")
        (valid, recorded, key), ends, of_history, tail, (partition, stem, sign) = place
        if of_history is not history:
            raise refused("it belongs to something else")
        return _Asked(
            question_of(valid, recorded, key, ends), history, tail, After(partition, base64.b64decode(stem), sign)
        )


def _answers(served: Served) -> IndexAnswers:
    assert isinstance(served.answers, IndexAnswers), "of a product that is served from an index"
    return served.answers

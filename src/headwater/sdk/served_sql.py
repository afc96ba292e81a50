"""SQL for the port `http`: one SELECT over the products that a reader may see, each as that reader sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from headwater.ports.answers import Answer, Question
from headwater.ports.index.answers import IndexAnswers
from headwater.schemas.avro import Schema
from headwater.sdk.query import Bounds, Result, run
from headwater.sdk.sql_filters import key_of
from headwater.sdk.sql_text import Asked, read_query
from headwater.timeline.instant import Instant

if TYPE_CHECKING:
    from headwater.ports.http.ask import Ask
    from headwater.ports.http.served import Served


def served_sql(bounds: Bounds) -> Callable[[str, Ask, Callable[[str], Served]], Result]:
    """What `HttpPort` runs a SELECT with; `bounds` hold for each, and a request's limit bounds its rows."""

    def sql(text: str, ask: Ask, find: Callable[[str], Served]) -> Result:
        asked = read_query(text)
        served = {one.product: find(one.product) for one in asked.asked}  # before any is read

        def read(one: Asked) -> tuple[Answer, Schema | pa.Table]:
            product = served[one.product]
            valid = Instant.parse(one.valid) if one.valid is not None else ask.valid
            until = Instant.parse(one.recorded) if one.recorded is not None else ask.recorded
            question = Question(valid, until, key_of(product.product.output, one.equal))
            if isinstance(product.answers, IndexAnswers):
                table, answer = product.answers.table(question, history=one.history)
                return answer, table
            answer = product.answers.history(question) if one.history else product.answers.as_of(question)
            return answer, product.schema

        return run(asked, read, replace(bounds, rows=ask.limit))

    return sql

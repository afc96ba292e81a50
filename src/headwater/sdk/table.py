"""An answer as a person or a program of today wants it: a data frame, an Arrow table, a table in a notebook."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from headwater.errors import CallerFault
from headwater.ports.answers import Answer
from headwater.schemas.avro import Schema
from headwater.schemas.payload import writer

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN_ROWS = 20
_SHOWN_CHARACTERS = 120


class Frames(ABC):
    """Data frames of whatever can say itself as an Arrow table."""

    __slots__ = ()

    @abstractmethod
    def to_arrow(self) -> pa.Table:
        """A `pyarrow.Table`."""

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`; pandas is not installed with Headwater. Raises `CallerFault` HW-K063 without it."""
        _library("pandas")
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """A `polars.DataFrame`; Polars is not installed with Headwater. Raises `CallerFault` HW-K063 without it."""
        return _library("polars").from_arrow(self.to_arrow())


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Answer, Frames):
    """An answer with its schema: its rows as columns too.

    The columns have the types that `headwater.schemas.arrow` gives the schema's: instants are timestamps in UTC,
    decimals stay decimals, maps are maps. In a notebook it shows itself, with how firm it is.
    """

    schema: Schema

    def to_arrow(self) -> pa.Table:
        """A `pyarrow.Table`."""
        from headwater.schemas.arrow import arrow_table

        return arrow_table(self.schema, self.rows)

    def __repr__(self) -> str:
        return f"<{self.firmness()}>"

    def _repr_html_(self) -> str:
        rows = list(map(writer(self.schema), self.rows[:SHOWN_ROWS]))
        return html_table([field.name for field in self.schema.fields], rows, len(self.rows), self.firmness())


def html_table(names: Sequence[str], rows: Sequence[Mapping[str, Any]], count: int, firmness: str) -> str:
    """The first rows of `count` as a table of HTML, with how firm they are below; nothing in it is taken for markup."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(row[name])}</td>" for name in names) + "</tr>" for row in rows[:SHOWN_ROWS]
    )
    more = f"; the first {SHOWN_ROWS} are shown" if count > SHOWN_ROWS else ""
    caption = f'<caption style="caption-side: bottom; text-align: left">{html.escape(firmness + more)}</caption>'
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def table_of(answer: Answer, schema: Schema) -> Table:
    """The same answer, with its schema."""
    return Table(
        rows=answer.rows,
        settled_to=answer.settled_to,
        settled=answer.settled,
        unreadable=answer.unreadable,
        ends=answer.ends,
        schema=schema,
    )


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return html.escape(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…")


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise CallerFault(
            f"{name} is not installed here",
            code="HW-K063",
            detail="Headwater does not bring it",
            hint=f"pip install {name}, or take to_arrow()",
        ) from None

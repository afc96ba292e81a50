"""The forms of an answer, chosen by `Accept` or by `?format=`: JSON, lines of JSON, CSV, Arrow, Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from headwater.errors import CallerFault
from headwater.schemas.arrow import arrow_table, plain_rows
from headwater.schemas.avro import Schema
from headwater.schemas.json_text import json_text
from headwater.schemas.payload import writer
from headwater.timeline.bitemporal import Record

FORMS = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
COLUMNS = ("arrow", "parquet")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


def form_of(asked: str, accept: str, known: Sequence[str] = tuple(FORMS)) -> str:
    """Which form a client wants most; raises `CallerFault` HW-R033 where none that is known.

    >>> form_of("", "text/csv;q=0.5, application/vnd.apache.parquet"), form_of("", "*/*"), form_of("csv", "")
    ('parquet', 'json', 'csv')
    """
    if asked:
        if asked in known:
            return asked
        raise _unknown(known)
    wanted: list[tuple[float, int, str]] = []
    for number, part in enumerate(accept.split(",")[:50]):
        name, _, parameters = part.strip().partition(";")
        weight = _weight(parameters)
        for form in known:
            kind = FORMS[form]
            if name.strip() in (kind, f"{kind.partition('/')[0]}/*", "*/*", "") and weight > 0:
                wanted.append((-weight, number, form))
                break
    if not wanted:
        raise _unknown(known)
    return min(wanted)[2]


def _weight(parameters: str) -> float:
    for one in parameters.split(";"):
        name, _, value = one.strip().partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def records_as(form: str, schema: Schema, records: Sequence[Record] | pa.Table, about: dict[str, Any]) -> bytes:
    """Records in a form. `about` goes into JSON beside them; other forms have only the records."""
    if isinstance(records, pa.Table):
        return table_as(form, records, about)
    if form in COLUMNS:
        return table_as(form, arrow_table(schema, records), about)
    convert = writer(schema)
    return rows_as(form, [field.name for field in schema.fields], [convert(one) for one in records], about)


def table_as(form: str, table: pa.Table, about: dict[str, Any]) -> bytes:
    """The rows of an Arrow table in a form."""
    if form == "arrow":
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return bytes(sink.getvalue())
    if form == "parquet":
        sink = pa.BufferOutputStream()
        parquet.write_table(table, sink, compression="zstd")
        return bytes(sink.getvalue())
    return rows_as(form, table.column_names, plain_rows(table), about)


def rows_as(form: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]], about: dict[str, Any]) -> bytes:
    """Rows as JSON has them in a form; not in one of columns."""
    if form == "json":
        return as_json({**about, "records": list(rows)})
    if form == "ndjson":
        return b"".join(as_json(row) + b"\n" for row in rows)
    text = io.StringIO()
    sheet = csv.writer(text)
    sheet.writerow([_cell(name) for name in names])
    sheet.writerows([_cell(row[name]) for name in names] for row in rows)
    return text.getvalue().encode()


def texts_as(form: str, texts: Sequence[str], about: dict[str, Any]) -> bytes:
    """Rows that are JSON text already, as `rows_as` has them; of `json` and `ndjson`."""
    if form == "ndjson":
        return "".join(f"{text}\n" for text in texts).encode()
    head = json_text(about).removesuffix("}") + ("," if about else "")
    return f'{head}"records":[{",".join(texts)}]}}'.encode()


def _cell(value: Any) -> Any:
    """A value of a sheet: what is nested is JSON; what a spreadsheet would run as a formula is kept from it."""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if isinstance(value, bool | dict | list):
        return json.dumps(value, ensure_ascii=False)
    return value


def as_json(value: Any) -> bytes:
    """Compact JSON. It has no number for what is not finite: that is text, `"NaN"` or `"-inf"`."""
    return json_text(value).encode()


def _unknown(known: Sequence[str]) -> CallerFault:
    return CallerFault(
        "no form of the answer is one that you take",
        code="HW-R033",
        hint=f"format={'|'.join(known)}, or Accept: {', '.join(FORMS[form] for form in known)}",
    )

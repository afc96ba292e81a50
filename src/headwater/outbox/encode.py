"""A batch of outbox rows to framed Avro bytes; what does not fit goes aside with its reason.

Each product has a function made for it once; the loop over rows only calls it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from headwater.errors import Misfit
from headwater.mesh.products import ResolvedOutput, ResolvedProduct
from headwater.naming import current_topic
from headwater.outbox.aside import VALUE_BYTES_LIMIT, row_headers, set_aside
from headwater.outbox.event import KINDS
from headwater.outbox.messages import unread
from headwater.outbox.partitions import Partitions
from headwater.outbox.pgoutput import Relation, Row, lsn_text
from headwater.outbox.refused import refusal
from headwater.outbox.segment import Batch, Run, Segment
from headwater.ports.keys import key_text
from headwater.ports.quarantine import Origin, QuarantineClass
from headwater.ports.record import Outgoing
from headwater.schemas.codec import RowCodec, frame, open_single_object
from headwater.schemas.payload import reader

if TYPE_CHECKING:
    from headwater.outbox.columns import SourceColumns

_KINDS = {kind.encode(): kind for kind in KINDS}
_Publish = Callable[[Row, int, list[Outgoing]], None]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a product's rows go: the product, the id of its registered schema, the partitions of its topic."""

    product: ResolvedProduct
    schema_id: int
    partitions: int


@dataclass(slots=True)
class Encoded:
    """What to send for a batch, in order; `misfits` are product and code of what went to quarantine.

    `columnar` counts the rows that were read and written as columns.
    """

    records: list[Outgoing]
    misfits: list[tuple[str, str]]
    columnar: int = 0


class Encoder:
    """Encodes the rows of one source. `source` names it in the headers of quarantined rows."""

    def __init__(self, targets: Sequence[Target], *, source: str, system_id: str) -> None:
        self._publishers: dict[bytes | None, _Publish] = {
            str(target.product.name).encode(): _publisher(target) for target in targets
        }
        self._columns = _columns(targets)
        self._products = {str(target.product.name).encode(): target.product for target in targets}
        # Rows of a product that this source does not have: kept beside those of its first product.
        self._homeless = min(targets, key=lambda target: target.product.name).product
        self._source = source
        self._system_id = system_id

    def encode(self, batch: Batch) -> Encoded:
        """All rows of a batch: as columns where there are many of one table, else row by row."""
        encoded = Encoded([], [])
        for relation, runs in groupby(_runs(batch), key=lambda run: run[0].relation):
            self._some(list(runs), relation, encoded)
        return encoded

    def _some(self, runs: list[tuple[Run, Segment, int]], relation: Relation | None, encoded: Encoded) -> None:
        done: list[Outgoing | None] = []
        if relation is not None and self._columns is not None:
            items = [item for run, _, _ in runs for item in run.items]
            stamps = [(segment.recorded_at, len(run.items)) for run, segment, _ in runs]
            done = self._columns.encode(items, relation, stamps)
        if done and None not in done:
            encoded.columnar += len(done)
            encoded.records += done  # type: ignore[arg-type]  # none is None
            return
        answers = iter(done)
        for run, segment, place in runs:
            for item in run.items:
                record = next(answers, None)
                if record is None:
                    self._row(run, item, segment, place, encoded)
                else:
                    encoded.columnar += 1
                    encoded.records.append(record)
                place += 1

    def _row(self, run: Run, item: Any, segment: Segment, place: int, encoded: Encoded) -> None:
        row: Row = ()
        try:
            row = run.read(item)
            self._publishers.get(row[1], _no_product)(row, segment.recorded_at, encoded.records)
        except Misfit as misfit:
            self._aside(segment, place, row or unread(item), misfit, "contract", encoded)
        except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError, StopIteration):
            self._aside(segment, place, row or unread(item), _unreadable(), "poison", encoded)

    def _aside(
        self, segment: Segment, place: int, row: Row, misfit: Misfit, kind: QuarantineClass, encoded: Encoded
    ) -> None:
        offset = f"{lsn_text(segment.commit_lsn)}+{place}"
        if not row[0]:  # whoever repairs or discards it needs a name for it, the same after a crash
            row = (self._id_of(offset), *row[1:])
        product = self._products.get(row[1] or b"", self._homeless)
        origin = Origin(
            topic=self._source,
            partition=self._system_id,
            offset=offset,
            timestamp=segment.recorded_at // 1_000,
        )
        encoded.records.append(set_aside(row, product, misfit, kind, origin))
        encoded.misfits.append((str(product.name), misfit.code))

    def _id_of(self, offset: str) -> bytes:
        return str(uuid5(NAMESPACE_URL, f"{self._system_id}/{self._source}/{offset}")).encode()


def _runs(batch: Batch) -> Iterator[tuple[Run, Segment, int]]:
    """Each run with its segment and the place of its first row in the transaction."""
    for segment in batch.segments:
        place = segment.ordinal
        for run in segment.runs:
            yield run, segment, place
            place += len(run.items)


def _columns(targets: Sequence[Target]) -> SourceColumns | None:
    """The column road, where a product can take it and the libraries are there: they need not be on every machine."""
    try:
        from headwater.outbox.columns import SourceColumns
    except ImportError:
        return None
    products = [(target.product, frame(target.schema_id, b""), target.partitions) for target in targets]
    columns = SourceColumns(products)
    return columns if columns.products else None


def _publisher(target: Target) -> _Publish:
    """The function that encodes a row of one product and adds what is to be sent; raises `Misfit`."""
    product, output = target.product, target.product.output
    topic, prefix = output.topic, frame(target.schema_id, b"")
    full_name, key_fields = output.schema.name.encode(), output.output.key
    event = output.shape == "event"
    encode, read = RowCodec(output.schema).encode, _payload_reader(output)
    partition_by_key = Partitions(target.partitions)
    grid = output.output.grid
    current = current_topic(product.name, product.major) if "current" in output.output.ports else ""

    def publish(row: Row, recorded_at: int, records: list[Outgoing]) -> None:
        row_id, _, key, type_, _, kind, revision, event_id, *_ = row
        if type_ != full_name:
            raise refusal(type_) or Misfit("the row's type is not the product's schema", code="HW-O020", field="type")
        record, text = read(row)
        if key is None or text != key:
            raise Misfit("the row's aggregateid is not the record's key", code="HW-O021", field="aggregateid")
        if kind not in _KINDS:
            raise Misfit("the row's kind is not assert, correct or retract", code="HW-O022", field="kind")
        number = int(revision) if revision is not None else 0
        if number < 1:
            raise Misfit("the row's revision is below 1", code="HW-O023", field="revision")
        if event:
            record["event_id"] = (event_id or row_id or b"").decode()
        elif grid is not None and not on_grid(record["valid_from"], record["valid_to"], grid):
            raise Misfit("the fact's interval is not one of the contract's grid", code="HW-O028", field="valid_to")
        record["recorded_at"] = recorded_at
        record["kind"] = _KINDS[kind]
        record["revision"] = number
        value = prefix + encode(record)
        if len(value) > VALUE_BYTES_LIMIT:
            raise Misfit("the record is larger than a broker takes", code="HW-O027")
        partition = partition_by_key[key]
        headers = row_headers(row)
        records.append((topic, partition, key, value, recorded_at // 1_000, headers))
        if current:
            identity = [record["event_id"]] if event else [record["valid_from"], record["valid_to"]]
            current_key = key_text([*(record[name] for name in key_fields), *identity]).encode()
            records.append((current, partition, current_key, value, recorded_at // 1_000, headers))

    return publish


def on_grid(valid_from: Any, valid_to: Any, length: int) -> bool:
    """Whether an interval, in microseconds, is one of those of a length that lie side by side from the epoch on.

    >>> on_grid(20, 30, 10), on_grid(20, 40, 10), on_grid(25, 35, 10), on_grid(20, None, 10)
    (True, False, False, False)
    """
    return valid_to is not None and valid_to - valid_from == length and valid_from % length == 0


def _payload_reader(output: ResolvedOutput) -> Callable[[Row], tuple[dict[str, object], bytes]]:
    """A function from a row to its record without the platform's fields, and the key's text that follows from it."""
    schema, key_fields = output.payload_schema, output.output.key
    fingerprint, decode, convert = schema.fingerprint, RowCodec(schema).decode, reader(schema)
    only_key = key_fields[0] if len(key_fields) == 1 else ""
    # jsonb is one whole value, without space around, and knows neither NaN nor infinity
    scan = json.JSONDecoder(parse_constant=_no_number).scan_once  # type: ignore[attr-defined]

    def read(row: Row) -> tuple[dict[str, object], bytes]:
        payload, payload_avro = row[4], row[8]
        if payload is not None:
            text = payload.decode()
            value, end = scan(text, 0)
            if end != len(text):
                raise ValueError
            record = convert(value)
            key = value[only_key] if only_key else None
            if type(key) is str:
                return record, key.encode()
            return record, key_text([value[name] for name in key_fields]).encode()
        found, body = open_single_object(bytes.fromhex(payload_avro[2:].decode()) if payload_avro else b"")
        if found != fingerprint:
            raise Misfit("the row's Avro payload is not of the product's schema", code="HW-O024", field="payload_avro")
        record = decode(body)
        return record, key_text([record[name] for name in key_fields]).encode()

    return read


def _no_product(row: Row, recorded_at: int, records: list[Outgoing]) -> None:
    raise Misfit("this source has no such product", code="HW-O025", field="aggregatetype")


def _no_number(name: str) -> None:
    raise ValueError


def _unreadable() -> Misfit:
    return Misfit("the payload cannot be read", code="HW-O026", field="payload")

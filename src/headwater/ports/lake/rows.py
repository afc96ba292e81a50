"""Records of a topic as rows of the lake: what a reader may see of them, and the place each comes from.

What Arrow can hold and Iceberg cannot takes the nearest type that loses nothing: nanoseconds are whole numbers,
decimals of more than 38 digits are their digits, times of day have microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from headwater.mesh.products import ResolvedProduct
from headwater.ports.access import Access, View
from headwater.ports.lake.refusals import classified, taken_name
from headwater.ports.lake.table import OFFSET, PARTITION, PLACE, TOPIC_ID
from headwater.ports.record import Message
from headwater.schemas.arrow import arrow_schema, arrow_table
from headwater.schemas.avro import Schema

Record = Mapping[str, Any]
_PLACES = (
    pa.field(TOPIC_ID, pa.string(), False),
    pa.field(PARTITION, pa.int32(), False),
    pa.field(OFFSET, pa.int64(), False),
)


class LakeRows:
    """Makes rows of one product's records. Raises `CallerFault` HW-I006 for a product that is not for the lake.

    Files are read by whoever can read them, and nobody is asked then: so a table holds what everybody may see.
    """

    def __init__(self, product: ResolvedProduct, access: Access) -> None:
        view = access.view("", product)
        if view is None:
            raise classified(str(product.name))
        self._view: View = view
        self.source: Schema = view.schema(product.output.schema)
        for field in self.source.fields:
            if field.name in PLACE:
                raise taken_name(str(product.name), field.name)
        self._of_records = pa.schema([stored(field) for field in arrow_schema(self.source)])
        self.schema: pa.Schema = pa.schema([*self._of_records, *_PLACES])

    def table(self, records: Sequence[tuple[Message, Record]], identity: str) -> pa.Table:
        """The rows of these records of a topic of this identity, in their order."""
        seen = [(message, left) for message, record in records if (left := self._view.record(record)) is not None]
        columns = arrow_table(self.source, [record for _, record in seen]).cast(self._of_records).columns
        places = [
            pa.array([identity] * len(seen), pa.string()),
            pa.array([message.partition for message, _ in seen], pa.int32()),
            pa.array([message.offset for message, _ in seen], pa.int64()),
        ]
        return pa.table([*columns, *places], schema=self.schema)


def stored(field: pa.Field) -> pa.Field:
    """A field as a table of the lake stores it.

    >>> stored(pa.field("at", pa.list_(pa.field("item", pa.timestamp("ns"))))).type
    ListType(list<element: int64>)
    """
    return pa.field(field.name, _stored(field.type), field.nullable)


def _stored(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([stored(field) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(stored(kind.value_field).with_name("element"))
    if pa.types.is_map(kind):
        return pa.map_(pa.field("key", pa.string(), False), stored(kind.item_field).with_name("value"))
    if pa.types.is_timestamp(kind):
        return pa.int64() if kind.unit == "ns" else pa.timestamp("us", kind.tz)
    if pa.types.is_time(kind):
        return pa.time64("us")
    return pa.string() if pa.types.is_decimal256(kind) or pa.types.is_null(kind) else kind

"""The bytes in the topic are those of the product's schema, read back by a reader of another hand."""

from __future__ import annotations

import json

import fastavro
from bench.filling import encode, order_feed
from bench.orders import OrderLog
from bench.systems.avro_reader import AvroReader


def test_an_encoded_order_reads_back_as_it_was() -> None:
    log = OrderLog(events=50, customers=20, orders_per_tick=10)
    feed = order_feed(log.orders(), log.through)
    schema = fastavro.parse_schema(json.loads(feed.schema.read_text()))
    for order, (key, _, value) in zip(log.orders(), feed.records, strict=True):
        body = encode(schema, value)
        reader = AvroReader(body)
        assert key == order.customer
        assert (reader.text(), reader.text()) == (order.event_id, order.customer)
        assert (reader.long(), reader.long()) == (order.occurred_at, order.amount_cents)
        items = []
        while count := reader.blocks():
            items += [(reader.text(), reader.long(), reader.long()) for _ in range(count)]
        assert items == list(order.items)
        assert (reader.long(), reader.long(), reader.long()) == (order.recorded_at, 0, 1)
        assert reader.ended
        assert 60 < len(body) < 140

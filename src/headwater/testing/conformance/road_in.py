"""Two lanes from one outbox give the same topics: one history in SQL, written once, read by both.

`write_history` does to an outbox table what services do, and what they should not. `differences` compares what came of
it, place by place. The suite asks the rest of each lane by itself: that what must be there is.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.mesh.products import ResolvedProduct
from headwater.naming import current_topic, quarantine_topic
from headwater.ports.protocol import Broker
from headwater.ports.record import EndOfPartition, Header, Message, TopicPartition
from headwater.schemas.codec import RowCodec, single_object, unframe

LARGE_ROWS = 12_000  # one transaction above the relay's cap, published in parts
COPIED_ROWS = 500
NOTE_BYTES = 600_000
# What tells the place of a row, or the version of the contract, and so is a lane's or a mesh's own.
OWN_HEADERS = frozenset(
    f"quarantine.{name}" for name in ("topic", "partition", "offset", "contract.version", "error.digest")
)
INSERT = (
    "INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, kind, revision, event_id, payload_avro, "
    "key_version, traceparent, replay_of) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)

Place = tuple[str, int]  # which topic of a product, and the partition


@dataclass(frozen=True, slots=True)
class Written:
    """What a history left behind: the rows that must be published and those that must go aside, by id."""

    published: tuple[str, ...]
    aside: tuple[str, ...]
    transactions: Mapping[str, str]  # by row, its transaction
    last: str


class Service:
    """A service that writes: `events` is a product of events with a `note`, `facts` one of facts."""

    def __init__(self, connect: Callable[[], Any], events: ResolvedProduct, facts: ResolvedProduct) -> None:
        self.connect = connect
        self.events, self.facts = events, facts
        self.published: list[str] = []
        self.aside: list[str] = []
        self.transactions: dict[str, str] = {}

    def event(self, key: str, *, good: bool = True, **given: Any) -> tuple[Any, ...]:
        """The values of a row; what is given replaces what is right."""
        payload = {"flight_id": key, "occurred_at": 1_357_000_000_000_000, "note": None, **given.pop("record", {})}
        return self._row(self.events, key, payload, good, given)

    def fact(self, key: str, level: int, **given: Any) -> tuple[Any, ...]:
        """A fact's row."""
        payload = {"place": key, "valid_from": 1, "valid_to": None, "level": level}
        return self._row(self.facts, key, payload, True, given)

    def _row(
        self, product: ResolvedProduct, key: str, payload: Mapping[str, Any], good: bool, given: dict[str, Any]
    ) -> tuple[Any, ...]:
        row_id = given.pop("id", None) or str(uuid.uuid4())
        (self.published if good else self.aside).append(row_id)
        values = {
            "id": row_id,
            "aggregatetype": str(product.name),
            "aggregateid": key,
            "type": product.output.schema.name,
            "payload": json.dumps(payload, ensure_ascii=False),
            "kind": "assert",
            "revision": 1,
            "event_id": None,
            "payload_avro": None,
            "key_version": None,
            "traceparent": None,
            "replay_of": None,
            **given,
        }
        return tuple(values.values())

    def commit(self, *rows: tuple[Any, ...]) -> None:
        """A transaction of these rows."""
        with self.connect() as connection:
            self.insert(connection, *rows)

    def insert(self, connection: Any, *rows: tuple[Any, ...]) -> None:
        """Rows, in a transaction that goes on."""
        for row in rows:
            connection.execute(INSERT, row)
            self.transactions[row[0]] = str(id(connection))

    def forget(self, *rows: tuple[Any, ...]) -> None:
        """These were taken back."""
        for row in rows:
            self.published.remove(row[0])
            self.transactions.pop(row[0], None)


def write_history(service: Service) -> Written:
    """Everything that a service may do to its outbox, transaction by transaction."""
    for part in (_plain, _corrected, _bad, _avro, _interleaved, _taken_back, _by_the_set, _changed_rows, _messages):
        part(service)
    last = service.event("last")
    service.commit(last)
    return Written(tuple(service.published), tuple(service.aside), dict(service.transactions), last[0])


def _plain(service: Service) -> None:
    service.commit(service.event("a"), service.fact("a", 1), service.event("b"))
    service.commit(*[service.event("a", record={"note": f"number {number}"}) for number in range(10)])
    odd = 'é \u2028 "quoted" \\ 😀 \t 漢字'
    service.commit(service.event(odd, record={"note": odd}), service.fact(odd, 2**62))
    service.commit(service.event("large", record={"note": "ä" * (NOTE_BYTES // 2)}))
    service.commit(service.event("null", record={"note": None}), service.event("", record={"note": ""}))
    service.commit(service.event("a", key_version=2**62, traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01"))


def _corrected(service: Service) -> None:
    event_id = str(uuid.uuid4())
    for revision, kind in ((1, "assert"), (2, "correct"), (3, "retract")):
        service.commit(service.event("late", kind=kind, revision=revision, event_id=event_id))
    service.commit(service.fact("late", 1), service.fact("late", 2, kind="correct", revision=2))
    service.commit(service.event("late", record={"occurred_at": "2013-01-01T00:00:00Z"}))
    # It says that it repairs a row which is not in quarantine, and so goes there itself.
    service.commit(service.event("late", good=False, replay_of=str(uuid.uuid4())))


def _bad(service: Service) -> None:
    bad = [
        service.event("bad", good=False, record={"occurred_at": "long ago"}),
        service.event("bad", good=False, record={"flight_id": "another"}),
        service.event("bad", good=False, type="unknown.Type"),
        service.event("bad", good=False, payload=None, payload_avro=b"\xc3\x01nonsense"),
        service.event("bad", good=False, payload=json.dumps({"flight_id": "bad"})),
    ]
    service.commit(service.event("bad"), *bad, service.event("bad"))


def _avro(service: Service) -> None:
    schema = service.events.output.payload_schema
    for note in (None, "bytes \u0000 and all".replace("\u0000", "")):
        record = {"flight_id": "avro", "occurred_at": 7, "note": note}
        body = single_object(schema.fingerprint, RowCodec(schema).encode(record))
        service.commit(service.event("avro", payload=None, payload_avro=body))


def _interleaved(service: Service) -> None:
    with service.connect() as slow:
        service.insert(slow, service.event("slow"))
        for number in range(5):
            service.commit(service.event("fast", record={"note": str(number)}))
            service.insert(slow, service.event("slow", record={"note": str(number)}))


def _taken_back(service: Service) -> None:
    rows = [service.event("never") for _ in range(3)]
    with service.connect() as connection:
        service.insert(connection, *rows)
        connection.rollback()
    service.forget(*rows)
    kept, dropped = service.event("kept"), service.event("dropped")
    with service.connect() as connection:
        service.insert(connection, kept)
        connection.execute("SAVEPOINT half")
        service.insert(connection, dropped)
        connection.execute("ROLLBACK TO SAVEPOINT half")
        connection.execute("SAVEPOINT whole")
        service.insert(connection, service.event("kept"))
        connection.execute("RELEASE SAVEPOINT whole")
    service.forget(dropped)


def _by_the_set(service: Service) -> None:
    """COPY, and statements of many rows: several rows share a place in the log."""
    statement = "COPY outbox (id, aggregatetype, aggregateid, type, payload) FROM STDIN"
    with service.connect() as connection, connection.cursor() as cursor, cursor.copy(statement) as copy:
        for number in range(COPIED_ROWS):
            row = service.event(f"copy{number % 7}", record={"note": f"{number}"})
            service.transactions[row[0]] = "copy"
            copy.write_row(row[:5])
    with service.connect() as connection:
        inserted = connection.execute(
            "INSERT INTO outbox (aggregatetype, aggregateid, type, payload) SELECT %s, 'many' || n %% 11, %s, "
            "jsonb_build_object('flight_id', 'many' || n %% 11, 'occurred_at', n, 'note', repeat('x', n %% 50)) "
            "FROM generate_series(1, %s) n RETURNING id::text",
            [str(service.events.name), service.events.output.schema.name, LARGE_ROWS],
        )
        ids = [row[0] for row in inserted]
    service.published += ids
    service.transactions.update(dict.fromkeys(ids, "many"))


def _changed_rows(service: Service) -> None:
    row, gone = service.event("changed"), service.event("deleted")
    service.commit(row, gone)
    with service.connect() as connection:
        connection.execute("UPDATE outbox SET aggregateid = 'other' WHERE id = %s", [row[0]])
        connection.execute("DELETE FROM outbox WHERE id = %s", [gone[0]])
    inserted = service.event("inserted and deleted")
    with service.connect() as connection:
        service.insert(connection, inserted)
        connection.execute("DELETE FROM outbox WHERE id = %s", [inserted[0]])


def _messages(service: Service) -> None:
    """Rows without a table, between rows of the table."""
    names = ("id", "aggregatetype", "aggregateid", "type", "payload", "kind", "revision")
    with service.connect() as connection:
        service.insert(connection, service.event("message", record={"note": "row"}))
        for note in ("one", "two"):
            row = service.event("message", record={"note": note})
            content = dict(zip(names, row, strict=False))
            content["payload"] = json.loads(content["payload"])
            connection.execute(
                "SELECT pg_logical_emit_message(true, 'headwater.outbox:public.outbox', %s)", [json.dumps(content)]
            )
            service.transactions[row[0]] = str(id(connection))
        connection.execute("SELECT pg_logical_emit_message(true, 'of somebody else', 'x')")


def contents(broker: Broker, product: ResolvedProduct) -> dict[Place, list[tuple[Any, ...]]]:
    """All that readers see of a product, by topic and partition, in order; what is a lane's own is left out."""
    topics = {"records": product.output.topic, "quarantine": quarantine_topic(product.name, product.major)}
    if "current" in product.output.output.ports:
        topics["current"] = current_topic(product.name, product.major)
    found: dict[Place, list[tuple[Any, ...]]] = {}
    for holds, topic in topics.items():
        for message in read_all(broker, topic):
            headers = [header for header in message.headers if header[0] not in OWN_HEADERS]
            found.setdefault((holds, message.partition), []).append(
                (message.key, _value(product, holds, message), message.timestamp, headers)
            )
    return found


def differences(one: Mapping[Place, Sequence[Any]], other: Mapping[Place, Sequence[Any]]) -> list[str]:
    """Where two lanes' contents differ, a line each; no values.

    >>> differences({("records", 0): [1, 2]}, {("records", 0): [1, 3]})
    ['records [0]: record 1 differs']
    """
    found = []
    for holds, partition in sorted({*one, *other}):
        left, right = one.get((holds, partition), ()), other.get((holds, partition), ())
        if len(left) != len(right):
            found.append(f"{holds} [{partition}]: {len(left)} records against {len(right)}")
        wrong = [number for number, (a, b) in enumerate(zip(left, right, strict=False)) if a != b]
        found += [f"{holds} [{partition}]: record {number} differs" for number in wrong[:5]]
    return found


def read_all(broker: Broker, topic: str) -> list[Message]:
    """Every committed message of a topic, by partition and offset."""
    places = [TopicPartition(topic, number) for number in range(broker.describe([topic])[topic].partitions)]
    ends = broker.ends(places)
    reader = broker.reader(dict.fromkeys(places, 0))
    found: list[Message] = []
    left = set(places)
    try:
        while left:
            for item in reader.poll(5_000, 1.0):
                if isinstance(item, EndOfPartition):
                    if item.offset >= ends[TopicPartition(topic, item.partition)]:
                        left.discard(TopicPartition(topic, item.partition))
                else:
                    found.append(item)
    finally:
        reader.close()
    return sorted(found, key=lambda message: (message.partition, message.offset))


def row_id(headers: Sequence[Header]) -> str:
    """The row that a record came from."""
    return dict(headers).get("id", b"").decode()


def _value(product: ResolvedProduct, holds: str, message: Message) -> Any:
    # The id of the schema is the registry's: what stands behind it must be the same byte for byte.
    return message.value if holds == "quarantine" or message.value is None else unframe(message.value)[1]


@dataclass(frozen=True, slots=True)
class Lanes:
    """What came of one history: what was written, and each lane's contents by product."""

    written: Written
    native: Mapping[str, Mapping[Place, Sequence[Any]]]
    other: Mapping[str, Mapping[Place, Sequence[Any]]]
    decode: Callable[[bytes], Mapping[str, Any]]
    events: str


class RoadInSuite:
    """Subclass it, and give a fixture `lanes` whose scope is the class: a history takes long to read."""

    def test_every_product_has_the_same_topics_by_both_lanes(self, lanes: Lanes) -> None:
        """Ids, keys, headers, order in each partition, values, recorded times, quarantine."""
        assert lanes.native.keys() == lanes.other.keys()
        assert {name: differences(lanes.native[name], lanes.other[name]) for name in lanes.native} == {
            name: [] for name in lanes.native
        }

    def test_each_row_is_published_or_aside_once(self, lanes: Lanes) -> None:
        """Rows that were rolled back, updated or deleted included."""
        for contents_of in (lanes.native, lanes.other):
            for holds, wanted in (("records", lanes.written.published), ("quarantine", lanes.written.aside)):
                ids = [
                    row_id(entry[3])
                    for places in contents_of.values()
                    for place, entries in places.items()
                    if place[0] == holds
                    for entry in entries
                ]
                assert sorted(ids) == sorted(wanted), holds

    def test_a_transaction_has_one_recorded_time(self, lanes: Lanes) -> None:
        """Also one that was published in parts, and one that Connect cut."""
        for contents_of in (lanes.native, lanes.other):
            stamps: dict[str, set[int]] = {}
            for place, entries in contents_of[lanes.events].items():
                for entry in entries if place[0] == "records" else ():
                    transaction = lanes.written.transactions[row_id(entry[3])]
                    stamps.setdefault(transaction, set()).add(int(lanes.decode(entry[1])["recorded_at"]))
            assert len(stamps["many"]) == len(stamps["copy"]) == 1

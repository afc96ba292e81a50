"""Every name that is derived from a product: the only place where one is put together.

A product's path is its identity: `flights.departures` is the product `departures` of the domain `flights`. All other
names follow from it and its major version. Prefixes end in a separator, so that a right on `a.b.v1.` never reaches
`a.b.v10` (see `docs/reference/names.md`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from zlib import crc32

from headwater.errors import CallerFault

_WORD = re.compile(r"[a-z][a-z0-9_]*\Z")
TOPIC_LENGTH_LIMIT = 249  # Kafka's own limit on a topic's name
SCHEMAS_TOPIC = "_schemas"  # the registry's log, as other registries name it


@dataclass(frozen=True, slots=True, order=True)
class ProductName:
    """A product's name, `<domain>.<product>`; of a further output of it `<domain>.<product>/<output>`.

    A product's first output has the product's own name.

    >>> name = ProductName.parse("flights.departures")
    >>> name.domain, name.product, str(name)
    ('flights', 'departures', 'flights.departures')
    >>> alerts = ProductName.parse("flights.departures/alerts")
    >>> alerts.output, str(alerts), alerts.whole == name
    ('alerts', 'flights.departures/alerts', True)
    """

    domain: str
    product: str
    output: str = ""

    @classmethod
    def parse(cls, text: str) -> ProductName:
        """From text; raises `CallerFault` HW-N001 with what is wrong."""
        name, slash, output = text.partition("/")
        domain, dot, product = name.partition(".")
        for part in (domain, product, output) if slash else (domain, product):
            if not dot or not _WORD.match(part) or "__" in part:
                raise CallerFault(
                    f"'{text}' is not a product name",
                    code="HW-N001",
                    detail="a name is <domain>.<product>, each of small letters, digits and single underscores, "
                    "a letter first" + ("; of a further output <domain>.<product>/<output>" if slash else ""),
                    hint="for example flights.departures",
                )
        return cls(domain, product, output)

    @property
    def whole(self) -> ProductName:
        """The product's own name."""
        return ProductName(self.domain, self.product) if self.output else self

    def of_output(self, output: str) -> ProductName:
        """The name of a further output of this product."""
        return ProductName(self.domain, self.product, output)

    def __str__(self) -> str:
        return f"{self.domain}.{self.product}/{self.output}" if self.output else f"{self.domain}.{self.product}"


def topic(product: ProductName, major: int) -> str:
    """The topic of a product's major, or of a further output of it: records only.

    >>> topic(ProductName("flights", "departures"), 1)
    'flights.departures.v1'
    >>> topic(ProductName("flights", "departures", "alerts"), 1)
    'flights.departures.alerts.v1'
    """
    return f"{product.whole}.{product.output}.v{major}" if product.output else f"{product}.v{major}"


def progress_topic(product: ProductName, major: int) -> str:
    """Beside the topic: one progress mark per partition, compacted."""
    return f"{topic(product, major)}.progress"


def current_topic(product: ProductName, major: int) -> str:
    """The newest record of each identity, compacted."""
    return f"{topic(product, major)}.current"


def lake_table(product: ProductName, major: int) -> str:
    """The table of a product's major in the lake, or of a further output of it, in the namespace of its domain.

    >>> lake_table(ProductName("flights", "departures"), 1)
    'flights.departures_v1'
    >>> lake_table(ProductName("flights", "departures", "alerts"), 1)
    'flights.departures__alerts_v1'
    """
    name = f"{product.product}__{product.output}" if product.output else product.product
    return f"{product.domain}.{name}_v{major}"


def quarantine_topic(product: ProductName, major: int) -> str:
    """Where what cannot be published or processed goes, whole; one for all outputs of a product."""
    return f"{topic(product.whole, major)}.quarantine"


def control_topic(product: ProductName, major: int) -> str:
    """Beside a derived product's topic: commands to its runners, all of them, and what each worker says last."""
    return f"{topic(product, major)}.control"


def changelog_topic(product: ProductName, major: int, stage: str) -> str:
    """Internal: the state of one stage of a derived product, compacted."""
    return f"{topic(product, major)}.{stage}.changelog"


def rekey_topic(product: ProductName, major: int, stage: str) -> str:
    """Internal: what a stage hands to the stage that owns the new key."""
    return f"{topic(product, major)}.{stage}.rekey"


def subject(topic_name: str) -> str:
    """The registry's subject of a topic's values (TopicName strategy)."""
    return f"{topic_name}-value"


def group(product: ProductName, major: int, stage: str) -> str:
    """The consumer group of one stage of a derived product."""
    return f"{topic(product, major)}.{stage}"


def stage_transactional_id(product: ProductName, major: int, stage: str, slot: int) -> str:
    """The transactional id of a stage's writer; `slot` is the worker's number. Stable over restarts.

    >>> stage_transactional_id(ProductName("airports", "hourly_punctuality"), 1, "aggregate", 0)
    'airports.hourly_punctuality-v1-aggregate-0'
    """
    return f"{product}-v{major}-{stage}-{slot}"


def partition_transactional_id(product: ProductName, major: int, stage: str, partition: int) -> str:
    """The transactional id of whoever serves this partition of a stage, where membership of a group cannot fence it.

    >>> partition_transactional_id(ProductName("airports", "hourly_punctuality"), 1, "aggregate", 3)
    'airports.hourly_punctuality-v1-aggregate-p3'
    """
    return f"{product}-v{major}-{stage}-p{partition}"


def faust_group(topics: Iterable[str]) -> str:
    """The name and group of the Faust application of the products with these topics: it shares partitions, and holds
    no progress of stages.

    >>> faust_group(["routes.daily.v1", "airports.hourly.v2"])
    'faust-airports.hourly.v2+routes.daily.v1'
    """
    return "faust-" + "+".join(sorted(topics))


def products_on_faust(group_name: str) -> list[str]:
    """The topics of the products whose application has this group; none where it is a group of another kind.

    >>> products_on_faust("faust-airports.hourly.v2+routes.daily.v1"), products_on_faust("airports.hourly.v2.fold")
    (['airports.hourly.v2', 'routes.daily.v1'], [])
    """
    before, mark, names = group_name.partition("faust-")
    return names.split("+") if mark and not before else []


def control_transactional_id(product: ProductName, major: int, who: str) -> str:
    """The transactional id of who writes to control topics: `commands`, or the slot of a worker.

    >>> control_transactional_id(ProductName("airports", "hourly_punctuality"), 1, "0")
    'control-airports.hourly_punctuality.v1-0'
    """
    return f"control-{topic(product, major)}-{who}"


def quarantine_transactional_id(product: ProductName, major: int) -> str:
    """The transactional id of a command that resolves entries of a derived product, which no relay writes."""
    return f"quarantine-{topic(product, major)}"


def relay_transactional_id(source: str) -> str:
    """The transactional id of the relay of one outbox source."""
    return f"relay-{source}-0"


def source(database: str, table: str) -> str:
    """An outbox source: one outbox table of one database; key of its position.

    >>> source("operations", "public.outbox")
    'operations.public.outbox'
    """
    return f"{database}.{table}"


def position_topic(outbox_source: str) -> str:
    """Internal: the relay's position of one outbox source; compacted, one partition, one key (the source)."""
    return f"headwater.position.{outbox_source}"


def slot(database: str, table: str) -> str:
    """PostgreSQL's replication slot of a source: at most 63 letters, digits and underscores."""
    return f"headwater_{database}_{table}".replace(".", "_").lower()[:63]


def load_slot(database: str, table: str) -> str:
    """The temporary slot that gives the snapshot of an initial load; it is gone once the snapshot is taken."""
    return f"{slot(database, table)[:58]}_load"


def publication(database: str, table: str) -> str:
    """PostgreSQL's publication of a source."""
    return slot(database, table)


def outbox_partition(table: str, day: str) -> str:
    """The partition of an outbox table that holds a day's rows; `day` as 2026-11-28, or `rest` for all other days.

    >>> outbox_partition("public.outbox", "2026-11-28"), outbox_partition("public.outbox", "rest")
    ('public.outbox_20261128', 'public.outbox_rest')
    """
    return f"{table}_{day.replace('-', '')}"


def capture_topic(outbox_source: str) -> str:
    """Internal: what Debezium captures of one outbox source, in commit order, for the relay; one partition.

    >>> capture_topic("operations.public.outbox")
    'headwater.capture.operations.public.outbox'
    """
    return f"headwater.capture.{outbox_source}"


def capture_slot(database: str, table: str) -> str:
    """The replication slot of the Debezium lane, and its publication: never that of the native relay.

    >>> capture_slot("operations", "public.outbox")
    'debezium_operations_public_outbox'
    """
    return f"debezium_{database}_{table}".replace(".", "_").lower()[:63]


def router_slot(database: str, table: str) -> str:
    """The replication slot of the plain event router, and its publication."""
    return f"router_{database}_{table}".replace(".", "_").lower()[:63]


def router_prefix(outbox_source: str) -> str:
    """What the plain event router puts before the names of what is no row: its heartbeats, its logical messages."""
    return f"headwater.router.{outbox_source}"


def connector(outbox_source: str, kind: str = "capture") -> str:
    """A connector on Kafka Connect: `capture` feeds the relay, `router` feeds topics that others read.

    >>> connector("operations.public.outbox")
    'headwater-capture-operations.public.outbox'
    """
    return f"headwater-{kind}-{outbox_source}"


def schema_full_name(product: ProductName, record: str) -> str:
    """The Avro full name of a product's record.

    >>> schema_full_name(ProductName("flights", "departures"), "Departure")
    'flights.departures.Departure'
    """
    return f"{product.whole}.{record}"


def emit_function(table: str) -> str:
    """PostgreSQL's function that writes rows into an outbox table, `schema.table`, each identity and revision once.

    >>> emit_function("public.outbox")
    'public.outbox_emit'
    """
    schema, _, name = table.rpartition(".")
    return f"{schema}.{_bounded(name + '_emit')}"


def check_function(table: str, product: ProductName | None = None, *, part: bool = False) -> str:
    """PostgreSQL's function that checks an outbox table's rows, or the payloads of one product in it.

    >>> check_function("public.outbox"), check_function("public.outbox", ProductName("flights", "departures"))
    ('public.outbox_check', 'public.outbox_check_flights_departures')
    """
    schema, _, name = table.rpartition(".")
    rest = "" if product is None else f"_{product.domain}_{product.product}"
    name = f"{name}_part" if part else f"{name}_check"
    return f"{schema}.{_bounded(name + rest)}"


def product_function(table: str, product: ProductName, verb: str) -> str:
    """PostgreSQL's function by which SQL emits a product, `verb` being emit or message.

    >>> product_function("public.outbox", ProductName("flights", "departures"), "emit")
    'public.headwater_emit_flights_departures'
    """
    schema = table.rpartition(".")[0]
    return f"{schema}.{_bounded(f'headwater_{verb}_{product.domain}_{product.product}')}"


def message_prefix(table: str) -> str:
    """The prefix of logical messages that stand for rows of an outbox table, `schema.table`."""
    return f"headwater.outbox:{table}"


def collision_key(topic_name: str) -> str:
    """Kafka holds `.` and `_` for the same letter in topic names: two topics with one collision key cannot both exist.

    >>> collision_key("a_b.c.v1") == collision_key("a.b_c.v1")
    True
    """
    return topic_name.replace(".", "_")


def _bounded(name: str) -> str:
    """At most the 63 letters of a PostgreSQL identifier; what is longer ends in a checksum of the whole."""
    return name if len(name) <= 63 else f"{name[:54]}_{crc32(name.encode()):08x}"

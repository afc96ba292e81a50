"""Every key that `product.yaml`, `mesh.yaml` and the files of `consumers/` may have, with its shape and what it says.

The one declaration behind the loader and the published JSON Schemas.
"""

from __future__ import annotations

import re

from headwater.contracts.product import PARTITIONS_DEFAULT, RUNNER_DEFAULT, RUNNERS, Compatibility, ProductType
from headwater.contracts.shape import Choice, Setting, Text, Whole, nearest
from headwater.contracts.shape_collection import Key, ListOf, MapOf, Record

PORTS = ("topic", "current", "lake", "sql", "http")
PARTITIONS_LIMIT = 1000  # of one topic: more are a sign of a wrong key, and a broker's memory
CLASSIFICATIONS = ("public", "internal", "confidential", "restricted")
FOREVER = "forever"
LANES = ("native", "debezium")

_WORD = r"[a-z][a-z0-9_]*"
_DURATION = r"[0-9]{1,9} *(?:us|ms|s|min|m|h|d)"
_DURATION_WHY = "a duration is a whole number and one of us, ms, s, min, h, d"


def _forever_mended(text: str) -> str:
    return nearest(text.replace(" ", ""), (FOREVER,))


def _version_mended(text: str) -> str:
    """`1` and `1.0` are meant to be `1.0.0`."""
    parts = text.removeprefix("v").split(".")
    if not all(re.fullmatch(r"[0-9]{1,6}", part) for part in parts) or len(parts) > 3:
        return ""
    return ".".join([*parts, "0", "0"][:3])


_DURATION_TEXT = Text("a duration", "30d", _DURATION, _DURATION_WHY)
PRODUCT_NAME = Text(
    "a product's name",
    "flights.departures",
    rf"{_WORD}\.{_WORD}",
    "a name is <domain>.<product>, each of small letters, digits and single underscores, a letter first",
    length_limit=400,  # the mesh says which topic name gets too long
)
_FIELD = Text(
    "a field's name", "flight_id", r"[A-Za-z_][A-Za-z0-9_]*", "Avro's names are letters, digits and underscores"
)
# Blocks (`>` and `|`) end in a line break, and may have some within.
SENTENCE = Text(
    "a line of text",
    "How punctual each airport is, hour by hour.",
    r"\S(?:[^\x00-\x09\x0b-\x1f]*\S)?\n*",
    length_limit=2000,
)
WORD = Text("a short name", "facts", _WORD, "it is small letters, digits and underscores, a letter first")
_SLUG = Text("a short name", "no-negative-count", r"[a-z][a-z0-9_-]*", "it is small letters, digits, - and _")
_SCHEMA = Text(
    "a record's name", "HourlyPunctuality", r"[A-Z][A-Za-z0-9_]*", "it is letters and digits, a capital first"
)
_PERCENT = Text("a percentage", "99.9%", r"(?:100(?:\.0+)?|[0-9]{1,2}(?:\.[0-9]{1,6})?) *%", "it is 0% to 100%")
_VERSION = Text(
    "a version", "1.0.0", r"[0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6}", "a version is major.minor.patch", mend=_version_mended
)
_TABLE = Text("a table's name", "public.outbox", rf"{_WORD}\.{_WORD}", "a table is <schema>.<table>, in small letters")

OUTPUT = Record(
    "an output",
    {
        "name": Key(WORD, "The output's name inside its product.", required=True),
        "schema": Key(
            _SCHEMA,
            "The Avro record; its file is schemas/avro/<domain>/<product>/<schema>.avsc.",
            required=True,
        ),
        "key": Key(
            ListOf(_FIELD, 1, 16, distinct=True), "The fields that make the Kafka key, in order.", required=True
        ),
        "compatibility": Key(
            Choice(tuple(Compatibility)),
            f"How the schema may change within a major. Default: {Compatibility.BACKWARD_TRANSITIVE}.",
        ),
        "retention": Key(
            Text(
                "a retention",
                "30d",
                rf"{FOREVER}|{_DURATION}",
                f"a retention is {FOREVER} or a duration: {_DURATION_WHY[len('a duration is ') :]}",
                mend=_forever_mended,
            ),
            f"How long history is kept. Default: {FOREVER}.",
        ),
        "partitions": Key(
            Whole(1, PARTITIONS_LIMIT),
            f"Changed only with a new major. Default: {PARTITIONS_DEFAULT}.",
        ),
        "ports": Key(ListOf(Choice(PORTS), 1, distinct=True), "Where records can be read. Default: [topic]."),
        "service_levels": Key(
            Record(
                "service_levels",
                {
                    "latency_p99": Key(
                        _DURATION_TEXT, "From the commit at the source to the record, at the 99th percentile."
                    ),
                    "completeness": Key(_PERCENT, "The share of the source's records that arrive."),
                    "availability": Key(_PERCENT, "The share of time in which the output can be read."),
                },
            ),
            "What is promised, and measured.",
        ),
        "quality": Key(
            ListOf(
                Record(
                    "a quality rule",
                    {
                        "name": Key(_SLUG, "The rule's name.", required=True),
                        "rule": Key(SENTENCE, "An expression over a record's fields that must hold.", required=True),
                        "severity": Key(Choice(("info", "warning", "error")), "How bad a breach is.", required=True),
                    },
                )
            ),
            "Rules that are measured on the stream.",
        ),
        "on_invalid": Key(
            Choice(("continue", "park-key")),
            "Whether a key's later records go on past a bad one. Default: continue.",
        ),
        "access": Key(
            Record(
                "access", {"classification": Key(Choice(CLASSIFICATIONS), "Who may read it at all.", required=True)}
            ),
            "Who may read.",
        ),
        "corrections": Key(
            Choice(("all", "none")),
            "Whether published records may be corrected or repeated later. Default: all.",
        ),
        "accept_late": Key(_DURATION_TEXT, "What is recorded later than this goes to quarantine. Default: no bound."),
        "grid": Key(
            _DURATION_TEXT,
            "The length of each fact's interval, counted from the Unix epoch on. Default: any.",
        ),
    },
)

_OWNER = Record(
    "owner",
    {
        "team": Key(Text("a team's name", "airport-operations"), "The team that answers for it.", required=True),
        "contact": Key(
            Text("a way to reach the team", "airport-operations@example.org"), "Where to ask.", required=True
        ),
    },
)

PRODUCT = Record(
    "a product",
    {
        "product": Key(PRODUCT_NAME, "The product's name, <domain>.<product>: the same as its folder.", required=True),
        "version": Key(_VERSION, "major.minor.patch; a new major means new topics.", required=True),
        "type": Key(Choice(tuple(ProductType)), "What kind of product it is.", required=True),
        "owner": Key(_OWNER, "Who answers for the product.", required=True),
        "purpose": Key(SENTENCE, "What the product is for, in a sentence.", required=True),
        "inputs": Key(
            ListOf(
                Record(
                    "an input",
                    {
                        "product": Key(PRODUCT_NAME, "The product that is read.", required=True),
                        "output": Key(WORD, "Which further output of it; left out, the first one."),
                        "major": Key(Whole(1, 999_999), "Which major of it.", required=True),
                        "reads": Key(ListOf(_FIELD, 1, distinct=True), "The fields that are read of it."),
                    },
                ),
                1,
                64,
            ),
            "The products that this one is made from; a source-aligned product has none.",
        ),
        "runner": Key(
            Choice(RUNNERS),
            "What runs the flow: headwater run by itself, a Faust application, or Flink jobs. The records are the "
            f"same. Default: {RUNNER_DEFAULT}.",
        ),
        "outbox": Key(
            Record(
                "outbox",
                {
                    "database": Key(WORD, "A database that mesh.yaml names.", required=True),
                    "table": Key(_TABLE, "The outbox table, <schema>.<table>.", required=True),
                    "lane": Key(
                        Choice(LANES), "What reads the table: the relay itself, or Debezium for it. Default: native."
                    ),
                    "validate": Key(
                        Choice(("database", "relay")),
                        "Who first checks a row against the schema: the database, before the commit, or the relay.",
                    ),
                },
            ),
            "Where a source-aligned product comes from.",
        ),
        "capture": Key(
            Record(
                "capture",
                {
                    "database": Key(WORD, "A database that mesh.yaml names.", required=True),
                    "table": Key(_TABLE, "The service's own table, <schema>.<table>.", required=True),
                    "old_rows": Key(
                        Choice(("whole", "as-is")),
                        "Whether apply sets REPLICA IDENTITY FULL, so that `before` is the whole old row, or leaves "
                        "the table as it is. Default: whole.",
                    ),
                    "existing_rows": Key(
                        Choice(("load", "skip")),
                        "Whether the rows that are there already are published first. Default: load.",
                    ),
                },
            ),
            "Where a source-aligned product comes from whose service cannot emit: mapping.py makes its records out of "
            "the changes of this table. In place of outbox.",
        ),
        "outputs": Key(
            ListOf(OUTPUT, 1, 16),
            "What the product publishes. The first output has the product's own names, further ones carry theirs.",
            required=True,
        ),
    },
)

_ENVIRONMENT = Record(
    "an environment",
    {
        "stack": Key(Choice(("local",)), "The stack of `headwater up`: its addresses are known."),
        "kafka": Key(
            MapOf(Text("a setting of librdkafka", "bootstrap.servers", r"[a-z][a-z0-9_.-]*"), Setting()),
            "Settings of librdkafka; ${VARIABLE} is filled in from the environment.",
        ),
        "registry": Key(
            Text("an address", "https://registry.example.org", r"\S+", length_limit=2000), "The schema registry."
        ),
        "databases": Key(
            MapOf(WORD, Text("a connection string", "postgresql://${DATABASE_HOST}/operations", length_limit=2000)),
            "Connection strings by the names that `databases` lists; secrets as ${VARIABLE}.",
        ),
        "connect": Key(
            Text("an address", "https://connect.example.org", r"\S+", length_limit=2000),
            "Kafka Connect's REST interface, for outboxes of the Debezium lane.",
        ),
        "lake": Key(
            MapOf(
                Text("a setting of PyIceberg", "warehouse", r"[a-z][a-z0-9_.-]*"),
                Text("a value", "s3://lake/tables", length_limit=2000),
            ),
            "PyIceberg's settings of the lake's catalogue: type (sql or rest), uri, warehouse, and of its storage; "
            "${VARIABLE} is filled in. Default: SQLite and files in the data folder.",
        ),
        "flink": Key(
            MapOf(
                Text("a place of Flink's", "gateway", r"gateway|rest|folder|jars"),
                Text("a value", "http://flink:8083", length_limit=2000),
            ),
            "The cluster that live Flink jobs are deployed to: the addresses of its SQL gateway and of its JobManager "
            "(rest), a folder for checkpoints and savepoints that all its machines see, and jars that it lacks, by "
            "commas. Default: a process of their own on the machine that deploys them.",
        ),
    },
)

MESH = Record(
    "mesh.yaml",
    {
        "name": Key(_SLUG, "The mesh's name.", required=True),
        "tick": Key(_DURATION_TEXT, "The length of a bucket of recorded time, one in a mesh. Default: 100ms."),
        "databases": Key(ListOf(WORD, distinct=True), "The names that outboxes use for databases."),
        "environments": Key(MapOf(WORD, _ENVIRONMENT, 1), "Where the mesh runs.", required=True),
        "outbox": Key(
            Record(
                "outbox",
                {
                    "retention": Key(_DURATION_TEXT, "How long outbox tables keep their rows. Default: 7d."),
                    "log_alarm_megabytes": Key(
                        Whole(1, 999_999_999),
                        "How much of a database's log a slot may hold back before the relay raises the alarm. "
                        "Default: half of max_slot_wal_keep_size, or 1024 where the server has no limit.",
                    ),
                },
            ),
            "What holds for all outbox tables of the mesh.",
        ),
        "debezium": Key(
            MapOf(Text("a setting of Debezium or Connect", "max.batch.size", r"[a-z][A-Za-z0-9_.-]*"), Setting()),
            "Settings of sizes and times that win over those of generated connectors.",
        ),
    },
)

CONSUMER = Record(
    "a consumer",
    {
        "consumer": Key(_SLUG, "The consumer's name: the same as its file.", required=True),
        "owner": Key(_OWNER, "Who is told before a change.", required=True),
        "purpose": Key(SENTENCE, "What it reads for, in a sentence.", required=True),
        "inputs": Key(
            ListOf(
                Record(
                    "an input",
                    {
                        "product": Key(PRODUCT_NAME, "The product that is read.", required=True),
                        "output": Key(WORD, "Which further output of it; left out, the first one."),
                        "major": Key(Whole(1, 999_999), "Which major of it.", required=True),
                        "reads": Key(
                            ListOf(_FIELD, 1, distinct=True), "The fields that are read of it.", required=True
                        ),
                    },
                ),
                1,
                64,
            ),
            "What it reads.",
            required=True,
        ),
    },
)

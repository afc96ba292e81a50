"""A small mesh written to a folder, right in everything, for tests that then make one thing wrong."""

from __future__ import annotations

from pathlib import Path

from headwater.plan.locking import lock_files

DEPARTURES = "connectors/flights/departures/product.yaml"
DEPARTURE_SCHEMA = "schemas/avro/flights/departures/Departure.avsc"
HOURLY = "streams/airports/hourly/product.yaml"
HOURLY_FLOW = "streams/airports/hourly/flow.py"
HOURLY_SCHEMA = "schemas/avro/airports/hourly/Hourly.avsc"
INSTANT = '{"type": "long", "logicalType": "timestamp-micros"}'
KIND = '{"type": "enum", "name": "Kind", "namespace": "headwater", "symbols": ["assert", "correct", "retract"]}'

BUSY_SCHEMA = "schemas/avro/airports/hourly/Busy.avsc"
BUSY_FLOW = """from headwater import Stream, col, count, tumbling, when


def flow(departures: Stream) -> dict[str, Stream]:
    hours = departures.aggregate(by=["origin"], window=tumbling("1h"), departures=count())
    word = when(col("departures") > 3).then("very busy").otherwise("busy")
    return {"facts": hours, "busy": hours.filter(col("departures") > 1).map(word=word)}
"""

BOARD = "consumers/board.yaml"
BOARD_TEXT = """consumer: board
owner: {team: terminal-operations, contact: terminal@example.org}
purpose: Shows the hour's departures.
inputs:
  - {product: airports.hourly, major: 1, reads: [origin, departures]}
"""

FILES = {
    "mesh.yaml": "name: small\ndatabases: [operations]\nenvironments:\n  local: {stack: local}\n",
    DEPARTURES: """product: flights.departures
version: 1.0.0
type: source-aligned
owner: {team: departure-control, contact: departures@example.org}
purpose: Each departure, as it happened.
outbox: {database: operations, table: public.outbox, validate: relay}
outputs:
  - name: events
    schema: Departure
    key: [flight_id]
    retention: 30d
""",
    DEPARTURE_SCHEMA: f"""{{
  "type": "record", "name": "Departure", "namespace": "flights.departures",
  "fields": [
    {{"name": "event_id", "type": "string"}},
    {{"name": "flight_id", "type": "string"}},
    {{"name": "origin", "type": "string"}},
    {{"name": "occurred_at", "type": {INSTANT}}},
    {{"name": "delay_minutes", "type": ["null", "int"], "default": null}},
    {{"name": "recorded_at", "type": {INSTANT}}},
    {{"name": "kind", "type": {KIND}}},
    {{"name": "revision", "type": "long"}}
  ]
}}
""",
    HOURLY: """product: airports.hourly
version: 1.0.0
type: aggregate
owner: {team: airport-operations, contact: airports@example.org}
purpose: Departures by the hour.
inputs:
  - {product: flights.departures, major: 1, reads: [origin, occurred_at]}
outputs:
  - name: facts
    schema: Hourly
    key: [origin]
    ports: [topic, current]
""",
    HOURLY_FLOW: """from headwater import Stream, count, tumbling


def flow(departures: Stream) -> Stream:
    return departures.aggregate(by=["origin"], window=tumbling("1h"), departures=count())
""",
    HOURLY_SCHEMA: f"""{{
  "type": "record", "name": "Hourly", "namespace": "airports.hourly",
  "fields": [
    {{"name": "origin", "type": "string"}},
    {{"name": "valid_from", "type": {INSTANT}}},
    {{"name": "valid_to", "type": ["null", {INSTANT}], "default": null}},
    {{"name": "departures", "type": "long"}},
    {{"name": "recorded_at", "type": {INSTANT}}},
    {{"name": "kind", "type": {KIND}}},
    {{"name": "revision", "type": "long"}}
  ]
}}
""",
}


def write_small_mesh(folder: Path, *, prefix: str = "", database: str = "operations") -> Path:
    """Write the files, and return the folder. `prefix` goes before both domains, for a stack that others use too."""
    for name, text in FILES.items():
        for domain in ("flights", "airports"):
            name, text = (
                name.replace(f"{domain}/", f"{prefix}{domain}/"),
                text.replace(f"{domain}.", f"{prefix}{domain}."),
            )
        if name.endswith(".yaml"):
            text = text.replace("operations", database).replace("name: small", f"name: {prefix}small")
        write(folder, name, text)
    return folder


def write(folder: Path, file: str, text: str) -> None:
    """Write one file, with the folders above it."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def edit(folder: Path, file: str, old: str, new: str) -> None:
    """Replace text that stands in the file, once."""
    text = (folder / file).read_text(encoding="utf-8")
    if old not in text:
        raise ValueError(f"{file} does not hold the text to replace")
    write(folder, file, text.replace(old, new, 1))


def add_busy_output(folder: Path, nonce: str = "") -> None:
    """Give the product `airports.hourly` a second output, `busy`: hours with two departures and more, with a word.

    `nonce` ends the names of the domains.
    """
    hourly, flow, schema = (
        name.replace("airports/", f"airports{nonce}/") for name in (HOURLY, HOURLY_FLOW, BUSY_SCHEMA)
    )
    further = "    key: [origin]\n    ports: [topic, current]\n  - name: busy\n    schema: Busy\n    key: [origin]\n"
    edit(folder, hourly, "    key: [origin]\n    ports: [topic, current]\n", further)
    write(folder, flow, BUSY_FLOW)
    text = FILES[HOURLY_SCHEMA].replace('"Hourly"', '"Busy"').replace("airports.", f"airports{nonce}.")
    write(folder, schema, text.replace('"departures", "type": "long"', '"word", "type": "string"'))


def release(folder: Path) -> Path:
    """Release schemas and contracts as they stand, as `headwater schema lock` does."""
    for lock in lock_files(folder):
        if lock.added:
            lock.path.write_text(lock.text, encoding="utf-8")
    return folder

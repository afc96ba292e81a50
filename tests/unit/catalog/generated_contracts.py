"""Generated products with schemas, as different as the files of a mesh let them be, for property tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from headwater import naming
from headwater.catalog.standards.product_file import product_text
from headwater.contracts.environment import Environment, MeshFile
from headwater.contracts.load import read_product
from headwater.mesh.products import Mesh, ResolvedOutput, ResolvedProduct
from headwater.schemas.annotations import payload_schema, shape_of
from headwater.schemas.avro import parse
from headwater.timeline.instant import Duration

MESH_FILE = MeshFile(
    name="generated",
    tick=Duration.from_milliseconds(100),
    databases=("operations",),
    environments={
        "local": Environment("local", local_stack=True),
        "production": Environment(
            "production",
            kafka={"bootstrap.servers": "a:9092,b:9092", "sasl.password": "secret", "security.protocol": "SASL_SSL"},
            registry_url="https://key:secret@registry.example.org",
        ),
    },
)

words = st.from_regex(r"[a-z][a-z0-9]{0,6}(_[a-z0-9]{1,4})?", fullmatch=True)
sentences = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=40).map(
    lambda text: " ".join(text.split()) or "-"
)
docs = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
durations = st.builds(lambda n, unit: f"{n}{unit}", st.integers(1, 500), st.sampled_from(["ms", "s", "min", "h", "d"]))
percents = st.sampled_from(["99.9%", "100%", "95%", "0.5%", "99.999%"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | docs,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
KIND = {"type": "enum", "name": "headwater.Kind", "symbols": ["assert", "correct", "retract"]}
LOGICALS = [
    INSTANT,
    {"type": "int", "logicalType": "date"},
    {"type": "string", "logicalType": "uuid"},
    {"type": "long", "logicalType": "local-timestamp-millis"},
    {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    {"type": "bytes", "logicalType": "decimal", "precision": 4},
    {"type": "int", "logicalType": "time-millis"},
    {"type": "string", "avro.java.string": "String"},
]


@st.composite
def avro_types(draw: st.DrawFn, taken: list[str], depth: int = 0) -> Any:
    """The JSON of a type; names of types are added to `taken`, and may be used again."""
    forms = ["primitive", "primitive", "logical", "enum", "fixed", "array", "map", "record", "union", "again"]
    form = draw(st.sampled_from(forms if depth < 2 else forms[:3]))
    name = f"T{len(taken)}"
    if form == "logical":
        return draw(st.sampled_from(LOGICALS))
    if form == "again" and taken:
        return draw(st.sampled_from(taken))
    if form in ("enum", "fixed", "record"):
        taken.append(name)
    if form == "enum":
        return {"type": "enum", "name": name, "symbols": ["A", "B"], **draw(st.sampled_from([{}, {"default": "A"}]))}
    if form == "fixed":
        return {"type": "fixed", "name": name, "size": 4, "doc": "four bytes"}
    if form == "array":
        return {"type": "array", "items": draw(avro_types(taken, depth + 1))}
    if form == "map":
        return {"type": "map", "values": draw(avro_types(taken, depth + 1))}
    if form == "record":
        inner = [
            {"name": f"g{index}", "type": draw(avro_types(taken, depth + 1))}
            for index in range(draw(st.integers(0, 2)))
        ]
        if draw(st.booleans()):
            inner.append({"name": "next", "type": ["null", name], "default": None})
        return {"type": "record", "name": name, "fields": inner}
    if form == "union":
        return draw(
            st.sampled_from([["null", "string"], ["string", "null"], ["null", "int", "string"], ["long", INSTANT]][:3])
        )
    return draw(st.sampled_from(["string", "int", "long", "float", "double", "boolean", "bytes", {"type": "string"}]))


@st.composite
def fields(draw: st.DrawFn, name: str, taken: list[str]) -> dict[str, Any]:
    """A field with whatever may stand beside its type."""
    field: dict[str, Any] = {"name": name, "type": draw(avro_types(taken))}
    nullable = isinstance(field["type"], list) and field["type"][0] == "null"
    if nullable and draw(st.booleans()):
        field["default"] = None
    elif field["type"] == "string" and draw(st.booleans()):
        field["default"] = draw(docs)
    for key, values in (
        ("doc", docs),
        ("confluent:tags", st.lists(st.sampled_from(["PII", "internal", "gold"]), min_size=1, max_size=2, unique=True)),
        ("aliases", st.just([f"old_{name}"])),
        ("order", st.just("ignore")),
        ("x-note", json_values),
    ):
        if draw(st.integers(0, 3)) == 0:
            field[key] = draw(values)
    return field


@st.composite
def schemas(draw: st.DrawFn, name: str, full_name: str) -> dict[str, Any]:
    """The JSON of a record with a key `id`, with all that a product's record needs."""
    taken: list[str] = []
    own = [draw(fields(f"f{index}", taken)) for index in range(draw(st.integers(0, 5)))]
    instant = {"type": INSTANT}
    if draw(st.booleans()):
        times = [{"name": "event_id", "type": "string"}, {"name": "occurred_at", **instant}]
    else:
        until = {"name": "valid_to", "type": ["null", INSTANT], "default": None}
        times = [{"name": "valid_from", **instant}, until]
    rest = [{"name": "recorded_at", **instant}, {"name": "kind", "type": KIND}, {"name": "revision", "type": "long"}]
    everything = draw(st.permutations([{"name": "id", "type": "string"}, *times, *rest]))
    record: dict[str, Any] = {"type": "record", "name": name, "namespace": full_name, "fields": [*own, *everything]}
    if draw(st.booleans()):
        record["doc"] = draw(docs)
    if draw(st.integers(0, 3)) == 0:
        record["aliases"] = ["Older"]
    if draw(st.integers(0, 3)) == 0:
        record["x-note"] = draw(json_values)
    return record


@st.composite
def products(draw: st.DrawFn) -> ResolvedProduct:
    """A product whose files a mesh would take."""
    domain, word = draw(words), draw(words)
    kind = draw(st.sampled_from(["source-aligned", "aggregate", "consumer-aligned"]))
    record = draw(schemas(draw(st.sampled_from(["Order", "X", "Late_Arrival"])), f"{domain}.{word}"))
    values: dict[str, Any] = {
        "product": f"{domain}.{word}",
        "version": draw(st.sampled_from(["1.0.0", "2.13.4"])),
        "type": kind,
        "owner": {"team": draw(sentences), "contact": draw(sentences | st.just("a@example.org"))},
        "purpose": draw(sentences),
    }
    if kind == "source-aligned":
        values["outbox"] = {"database": "operations", "table": "public.outbox"}
    else:
        reads = draw(st.lists(words, max_size=2, unique=True))
        values["inputs"] = [{"product": "a.b", "major": 1, **({"reads": reads} if reads else {})}]
    values["outputs"] = [draw(outputs(record["name"]))]
    return resolved(values, record)


@st.composite
def outputs(draw: st.DrawFn, schema: str) -> dict[str, Any]:
    """An output with some of what it may promise."""
    output: dict[str, Any] = {"name": draw(words), "schema": schema, "key": ["id"]}
    levels = {"latency_p99": durations, "completeness": percents, "availability": percents}
    promised = draw(st.fixed_dictionaries({}, optional=levels))
    if promised:
        output["service_levels"] = promised
    rules = draw(st.lists(st.sampled_from(["one", "two-b"]), unique=True, max_size=2))
    if rules:
        severity = st.sampled_from(["info", "warning", "error"])
        output["quality"] = [{"name": rule, "rule": draw(sentences), "severity": draw(severity)} for rule in rules]
    for key, values in (
        ("compatibility", st.sampled_from(["NONE", "FULL", "BACKWARD"])),
        ("retention", durations | st.just("forever")),
        ("partitions", st.integers(1, 64)),
        ("ports", st.sampled_from([["topic"], ["topic", "current", "sql"]])),
        ("on_invalid", st.sampled_from(["continue", "park-key"])),
        ("corrections", st.sampled_from(["all", "none"])),
        ("accept_late", durations),
        ("access", st.sampled_from([{"classification": "public"}, {"classification": "restricted"}])),
    ):
        if draw(st.booleans()):
            output[key] = draw(values)
    return output


def resolved(values: dict[str, Any], record: dict[str, Any]) -> ResolvedProduct:
    """A product and its schema put together as loading a mesh does."""
    top = "connectors" if values["type"] == "source-aligned" else "streams"
    folder = f"{top}/{values['product'].replace('.', '/')}"
    product = read_product(product_text(values).encode(), file="product.yaml", folder=folder).require()
    schema = parse(json.dumps(record))
    topic = naming.topic(product.name, product.major)
    output = ResolvedOutput(
        output=product.output,
        schema=schema,
        payload_schema=payload_schema(schema),
        shape=shape_of(schema),
        topic=topic,
        subject=naming.subject(topic),
    )
    return ResolvedProduct(product, (output,), Path(folder))


def mesh_of(product: ResolvedProduct) -> Mesh:
    """A mesh of this product alone."""
    return Mesh(MESH_FILE, Path(), {product.name: product})

"""The flows of the runner cases as a mesh in a folder, as whoever writes products has it: contracts, schemas, flows.

A case has its flow in this package; its `flow.py` in the mesh calls it. Domains bear a nonce, so that many trials share
one cluster.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater.naming import ProductName
from headwater.processing.field_types import FieldType
from headwater.processing.graph import Port
from headwater.testing.conformance.runner_cases import TICK, WIDTH, Case
from headwater.testing.small_mesh import write
from headwater.testing.source_products import INSTANT, KIND

PARTITIONS = 2
_PLATFORM = ("recorded_at", "kind", "revision")
_PLAIN = {"integer": "long", "double": "double", "string": "string", "boolean": "boolean"}


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A case, and where this package keeps it: `module` and `name` under which a flow file imports it."""

    case: Case
    module: str
    name: str


def write_case_mesh(folder: Path, files: Iterable[CaseFile], nonce: str) -> Path:
    """Write `mesh.yaml`, the sources that these cases read and a derived product for each; the folder."""
    write(
        folder,
        "mesh.yaml",
        f"name: trial\ntick: {TICK}us\ndatabases: [operations]\nenvironments:\n  local: {{stack: local}}\n",
    )
    sources: dict[str, Port] = {}
    for file in files:
        sources |= {port.topic: port for port in file.case.inputs}
        _product(folder, file.case.output, nonce, _derived(file.case, nonce))
        place = f"streams/{_folder(file.case.output.product, nonce)}/flow.py"
        write(folder, place, _flow(file))
    for port in sources.values():
        outbox = "outbox: {database: operations, table: public.outbox, validate: relay}\n"
        _product(folder, port, nonce, f"type: source-aligned\n{outbox}")
    return folder


def named(product: ProductName, nonce: str) -> ProductName:
    """A product of a case as it is called in the mesh.

    >>> str(named(ProductName("fleet", "places"), "x1"))
    'fleetx1.places'
    """
    return ProductName(f"{product.domain}{nonce}", product.product)


def record_schema(port: Port, nonce: str) -> dict[str, Any]:
    """The Avro schema of a product of a case."""
    fields = [{"name": name, "type": _avro(type_)} for name, type_ in port.fields.items() if name not in _PLATFORM]
    for field in fields:
        if isinstance(field["type"], list) and field["type"][0] == "null":
            field["default"] = None
    platform = [
        {"name": "recorded_at", "type": INSTANT},
        {"name": "kind", "type": KIND},
        {"name": "revision", "type": "long"},
    ]
    name = named(port.product, nonce)
    return {"type": "record", "name": "Record", "namespace": str(name), "fields": [*fields, *platform]}


def _product(folder: Path, port: Port, nonce: str, about: str) -> None:
    kind = "connectors" if "source-aligned" in about else "streams"
    grid = f"    grid: {WIDTH}us\n" if port.grid and kind == "connectors" else ""
    place, name = _folder(port.product, nonce), named(port.product, nonce)
    text = (
        f"product: {name}\nversion: 1.0.0\nowner: {{team: trial, contact: trial@example.org}}\n"
        f"purpose: A trial of runners.\n{about}outputs:\n  - name: records\n    schema: Record\n"
        f"    key: [{', '.join(port.key)}]\n    partitions: {PARTITIONS}\n    retention: forever\n{grid}"
    )
    write(folder, f"{kind}/{place}/product.yaml", text)
    write(folder, f"schemas/avro/{place}/Record.avsc", json.dumps(record_schema(port, nonce), indent=2))


def _derived(case: Case, nonce: str) -> str:
    # An aggregate's facts lie on a grid of its windows; what else comes out may overlap.
    kind = "aggregate" if case.output.grid else "consumer-aligned"
    inputs = "".join(f"  - {{product: {named(port.product, nonce)}, major: 1}}\n" for port in case.inputs)
    return f"type: {kind}\ninputs:\n{inputs}"


def _flow(file: CaseFile) -> str:
    names = [f"stream_{number}" for number in range(len(file.case.inputs))]
    head = f"from headwater import Stream\nfrom {file.module} import {file.name} as CASE\n\n\n"
    parameters = ", ".join(f"{name}: Stream" for name in names)
    return f"{head}def flow({parameters}) -> Stream:\n    return CASE.flow({', '.join(names)})\n"


def _folder(product: ProductName, nonce: str) -> str:
    name = named(product, nonce)
    return f"{name.domain}/{name.product}"


def _avro(type_: FieldType) -> Any:
    plain: Any = INSTANT if type_.kind == "instant" else _PLAIN.get(type_.kind)
    if plain is None:
        held: Mapping[str, Any] | list[Any] = json.loads(type_.avro)
        plain = next(one for one in held if one != "null") if isinstance(held, list) else held
    return ["null", plain] if type_.nullable else plain

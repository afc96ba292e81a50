"""From the text of a mesh's YAML files to values, with every fault found at once, at its line and column.

`read_product` and `read_mesh_file` take bytes and touch no disk; `load_product` and `load_mesh_file` read the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from headwater.contracts import keys
from headwater.contracts.consumer import Consumer
from headwater.contracts.environment import OUTBOX_RETENTION_DEFAULT, Environment, MeshFile
from headwater.contracts.examples import EXAMPLES, Example, examples_of
from headwater.contracts.product import (
    RUNNER_DEFAULT,
    Capture,
    Compatibility,
    Input,
    Outbox,
    Output,
    Owner,
    Product,
    ProductType,
    QualityRule,
    Version,
)
from headwater.contracts.several import outputs_together
from headwater.contracts.shape import Reading
from headwater.contracts.shape_collection import Record
from headwater.contracts.strict_yaml import BYTES_LIMIT, parse_yaml
from headwater.errors import CallerFault, Finding, InvalidFiles
from headwater.naming import ProductName
from headwater.timeline.instant import Duration

TICK_DEFAULT = Duration.from_milliseconds(100)  # design.md, "Time"
PRODUCT_FILE = "product.yaml"
MESH_FILE = "mesh.yaml"

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Contract(Generic[Value]):
    """What one file holds. `value` is None where there are findings; `places` are lines and columns by dotted path."""

    file: str
    value: Value | None
    findings: tuple[Finding, ...]
    places: Mapping[str, tuple[int, int]]

    def require(self) -> Value:
        """The value, or `InvalidFiles` with the findings."""
        if self.value is None:
            raise InvalidFiles(self.findings)
        return self.value

    def finding(self, code: str, path: str, message: str, *, why: str = "", fix: str = "") -> Finding:
        """A finding at the place of a path, or of the nearest path above it that stands in the file."""
        place, at = self.places.get(path), path
        while place is None and at:
            at = at[: max(at.rfind("."), at.rfind("["), 0)]
            place = self.places.get(at)
        return Finding(code, "error", self.file, *(place or (1, 1)), path, message, why, fix)


def read_product(data: bytes, *, file: str, folder: str) -> Contract[Product]:
    """A product from the bytes of its `product.yaml`; `folder` is its place in the mesh, with `/`.

    >>> contract = read_product(b"product: flights.departures\\nversoin: 1.0.0", file="product.yaml", folder="")
    >>> print([f for f in contract.findings if f.line == 2][0].message)
    unknown key 'versoin'
    """
    return _read(data, file, keys.PRODUCT, lambda values, reading: _product(values, reading, folder))


def read_mesh_file(data: bytes, *, file: str = MESH_FILE) -> Contract[MeshFile]:
    """What `mesh.yaml` says, from its bytes."""
    return _read(data, file, keys.MESH, _mesh_file)


def read_consumer(data: bytes, *, file: str) -> Contract[Consumer]:
    """A consumer from the bytes of its file in `consumers/`."""
    return _read(data, file, keys.CONSUMER, lambda values, reading: _consumer(values, reading, file))


def read_examples(data: bytes, *, file: str) -> Contract[tuple[Example, ...]]:
    """The examples of a product's flow from the bytes of its `tests.yaml`."""
    return _read(data, file, EXAMPLES, examples_of)


def load_product(path: Path, *, mesh_folder: Path) -> Product:
    """The product of a file in a mesh; raises `InvalidFiles` with all findings."""
    file = path.relative_to(mesh_folder).as_posix()
    return read_product(contract_bytes(path, file), file=file, folder=file.rpartition("/")[0]).require()


def load_mesh_file(path: Path) -> MeshFile:
    """What a `mesh.yaml` says; raises `InvalidFiles` with all findings."""
    return read_mesh_file(contract_bytes(path, path.name), file=path.name).require()


def contract_bytes(path: Path, file: str) -> bytes:
    """The file's bytes, one more than may be at most; raises `InvalidFiles` HW-C029 where it cannot be read."""
    try:
        with path.open("rb") as opened:
            return opened.read(BYTES_LIMIT + 1)
    except OSError as error:
        why = error.strerror or type(error).__name__
        fix = "put the file there, or name the mesh's folder in HEADWATER_MESH"
        raise InvalidFiles([Finding("HW-C029", "error", file, 0, 0, "", "the file cannot be read", why, fix)]) from None


def _read(data: bytes, file: str, shape: Record, build: Callable[[dict[str, Any], Reading], Value]) -> Contract[Value]:
    reading = Reading(file)
    node, findings = parse_yaml(data, file=file)
    reading.findings.extend(findings)
    value = None
    if node is None and not findings:
        fix = f"write {shape.title} into it, as the contract's reference page shows"
        reading.find("HW-C030", "", (1, 1), "the file is empty", why="a contract has keys", fix=fix)
    # After a bomb or a broken bracket the tree is a torso: what it lacks would be told as missing.
    broken = any(finding.code in ("HW-C003", "HW-C005", "HW-C009", "HW-C011", "HW-C015") for finding in findings)
    if node is not None and not broken:
        values = shape.read(node, reading, "")
        if values is not None and not reading.findings:
            value = build(values, reading)
    if reading.findings:
        value = None
    return Contract(file, value, tuple(reading.findings), reading.places)


def _product(values: dict[str, Any], reading: Reading, folder: str) -> Product:
    aligned = ProductType(values["type"]) is ProductType.SOURCE_ALIGNED
    place = reading.places["type"]
    if aligned and "outbox" in values and "capture" in values:
        why, fix = "each record has one origin", "keep the one that the service can serve: outbox, if it can emit"
        message = "a product comes from an outbox or from a captured table, not from both"
        reading.find("HW-O140", "capture", reading.places["capture"], message, why=why, fix=fix)
    if aligned and "outbox" not in values and "capture" not in values:
        why, fix = "it comes from a service's database", "add outbox: {database: ..., table: ...}"
        reading.find("HW-C031", "outbox", place, "a source-aligned product needs an outbox", why=why, fix=fix)
    if aligned and "inputs" in values:
        why, fix = "it comes from its outbox alone", "remove inputs, or make the type aggregate"
        reading.find(
            "HW-C032", "inputs", reading.places["inputs"], "a source-aligned product has no inputs", why=why, fix=fix
        )
    if aligned and "runner" in values:
        why, fix = "a relay brings its records in: there is no flow to run", "remove runner"
        message = "a source-aligned product has no runner"
        reading.find("HW-P280", "runner", reading.places["runner"], message, why=why, fix=fix)
    if not aligned and "inputs" not in values:
        why, fix = "it is made from other products", "add inputs: [{product: ..., major: 1}]"
        reading.find("HW-C033", "inputs", place, f"a product of type {values['type']} needs inputs", why=why, fix=fix)
    if not aligned and "outbox" in values:
        why, fix = "only source-aligned products come from a database", "remove outbox, or make the type source-aligned"
        message = f"a product of type {values['type']} has no outbox"
        reading.find("HW-C034", "outbox", reading.places["outbox"], message, why=why, fix=fix)
    if not aligned and "capture" in values:
        why, fix = (
            "only source-aligned products come from a database",
            "remove capture, or make the type source-aligned",
        )
        message = f"a product of type {values['type']} captures no table"
        reading.find("HW-O141", "capture", reading.places["capture"], message, why=why, fix=fix)
    name = _product_name(values["product"], reading, "product")
    outputs = tuple(_output(output) for output in values["outputs"])
    if len(outputs) > 1:
        outputs_together(outputs, reading, aligned=aligned)
    inputs = _inputs(values.get("inputs", ()), reading)
    return Product(
        name=name,
        version=Version.parse(values["version"]),
        type=ProductType(values["type"]),
        owner=Owner(**values["owner"]),
        purpose=" ".join(values["purpose"].split()),
        inputs=inputs,
        outbox=Outbox(**values["outbox"]) if "outbox" in values else None,
        outputs=outputs,
        folder=folder,
        capture=Capture(**values["capture"]) if "capture" in values else None,
        runner=values.get("runner", RUNNER_DEFAULT),
    )


def _inputs(values: tuple[dict[str, Any], ...], reading: Reading) -> tuple[Input, ...]:
    inputs: list[Input] = []
    for index, value in enumerate(values):
        path = f"inputs[{index}].product"
        product = _product_name(value["product"], reading, path)
        if "output" in value:
            product = product.of_output(value["output"])
        named = Input(product, value["major"], value.get("reads", ()))
        if any((known.product, known.major) == (named.product, named.major) for known in inputs):
            message = f"'{named.product}' major {named.major} is an input twice"
            why, fix = "what is read of a product is said in one place", "keep one of them"
            reading.find("HW-C035", path, reading.places[path], message, why=why, fix=fix)
        inputs.append(named)
    return tuple(inputs)


def _consumer(values: dict[str, Any], reading: Reading, file: str) -> Consumer:
    inputs = _inputs(values["inputs"], reading)
    return Consumer(values["consumer"], Owner(**values["owner"]), " ".join(values["purpose"].split()), inputs, file)


def _output(values: dict[str, Any]) -> Output:
    rest = {
        name: values[name]
        for name in ("partitions", "ports", "service_levels", "on_invalid", "access", "corrections")
        if name in values
    }
    retention = values.get("retention", keys.FOREVER)
    return Output(
        name=values["name"],
        schema=values["schema"],
        key=values["key"],
        compatibility=Compatibility(values.get("compatibility", Compatibility.BACKWARD_TRANSITIVE)),
        retention=None if retention == keys.FOREVER else Duration.parse(retention),
        quality=tuple(QualityRule(**rule) for rule in values.get("quality", ())),
        accept_late=Duration.parse(values["accept_late"]) if "accept_late" in values else None,
        grid=Duration.parse(values["grid"]) if "grid" in values else None,
        **rest,
    )


def _product_name(text: str, reading: Reading, path: str) -> ProductName:
    try:
        return ProductName.parse(text)
    except CallerFault as error:  # double underscores: the form's pattern lets them through
        reading.find(error.code, path, reading.places[path], error.message, why=error.detail, fix=error.hint)
        return ProductName("unknown", "unknown")


def _mesh_file(values: dict[str, Any], reading: Reading) -> MeshFile:
    databases = values.get("databases", ())
    tick = Duration.parse(values["tick"]) if "tick" in values else TICK_DEFAULT
    if not tick:
        why, fix = "recorded time is cut into ticks", f"write tick: {TICK_DEFAULT.text()}"
        reading.find("HW-C036", "tick", reading.places["tick"], "a tick has a length above zero", why=why, fix=fix)
    for name, environment in values["environments"].items():
        _environment_complete(f"environments.{name}", environment, databases, reading)
    outbox = values.get("outbox", {})
    megabytes = outbox.get("log_alarm_megabytes")
    return MeshFile(
        name=values["name"],
        tick=tick,
        databases=databases,
        environments={name: _environment(name, value) for name, value in values["environments"].items()},
        debezium=values.get("debezium", {}),
        outbox_retention=Duration.parse(outbox["retention"]) if "retention" in outbox else OUTBOX_RETENTION_DEFAULT,
        outbox_log_alarm_bytes=megabytes * 1024 * 1024 if megabytes else None,
    )


def _environment(name: str, values: dict[str, Any]) -> Environment:
    return Environment(
        name,
        kafka=values.get("kafka", {}),
        registry_url=values.get("registry", ""),
        databases=values.get("databases", {}),
        local_stack="stack" in values,
        connect_url=values.get("connect", ""),
        lake=values.get("lake", {}),
        flink=values.get("flink", {}),
    )


def _environment_complete(path: str, values: dict[str, Any], databases: tuple[str, ...], reading: Reading) -> None:
    place = reading.places[path]
    if "stack" in values:
        for name in ("kafka", "registry", "databases", "connect", "lake", "flink"):
            if name in values:
                why, fix = "the addresses of `headwater up` are known", f"remove {name}, or stack"
                at = f"{path}.{name}"
                reading.find("HW-C037", at, reading.places[at], f"the local stack needs no '{name}'", why=why, fix=fix)
        return
    wanted = [name for name in ("kafka", "registry") if not values.get(name)]
    wanted += [f"databases.{name}" for name in databases if name not in values.get("databases", {})]
    for name in wanted:
        why, fix = "nothing could be reached there", f"add {name}, or stack: local"
        reading.find("HW-C038", f"{path}.{name}", place, f"the environment does not say '{name}'", why=why, fix=fix)
    for name in values.get("databases", {}):
        if name not in databases:
            why, fix = "outboxes use the names that `databases` lists", f"add {name} to databases, or remove it here"
            at = f"{path}.databases.{name}"
            message = f"the database '{name}' is not one of the mesh"
            reading.find("HW-C039", at, reading.places[at], message, why=why, fix=fix)

"""A product's examples, run: its flow in this process on virtual time, held against what `tests.yaml` expects of it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.contracts.examples import EXAMPLES_FILE, Example, Expectation, Row
from headwater.contracts.load import contract_bytes, read_examples
from headwater.contracts.shape import nearest
from headwater.errors import CallerFault, Finding, InvalidFiles
from headwater.mesh.products import Mesh, ResolvedProduct
from headwater.processing.compiler import compile_plan
from headwater.processing.example_records import File, Given, Side, converted, given_records
from headwater.processing.field_uses import fields_read
from headwater.processing.flow_file import load_flow
from headwater.processing.graph import HIDDEN, Graph
from headwater.processing.orders import reordered
from headwater.processing.runners.memory import MemoryRunner
from headwater.processing.steps import Plan
from headwater.processing.validation import validate
from headwater.schemas.payload import writer
from headwater.timeline.bitemporal import Known, KnownEvents, KnownFacts
from headwater.timeline.instant import Instant

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation that is not met, at its place: rows that only one side has, and how many both have.

    `seed` is that of the order of arrival in which it fails, None where records arrive as they are given; `arrived`
    are then their places and what was made of them, in order.
    """

    place: Finding
    expected: tuple[Mapping[str, Any], ...]
    found: tuple[Mapping[str, Any], ...]
    agreeing: int
    seed: int | None = None
    arrived: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """An example with what came of it; `orders` is in how many orders of arrival it was run besides its own."""

    product: str
    name: str
    failures: tuple[Failure, ...]
    orders: int


class ProductExamples:
    """The examples of one product; raises `InvalidFiles` where its flow or its `tests.yaml` is not in order.

    Raises `CallerFault` HW-P147 where it has none.
    """

    def __init__(self, mesh: Mesh, product: ResolvedProduct) -> None:
        self.product = product
        self.file = examples_file(product)
        self._tick = int(mesh.file.tick)
        graph = load_flow(mesh, product.name)
        if findings := validate(graph):
            raise InvalidFiles(findings)
        self._plan: Plan = compile_plan(graph, tick=self._tick)
        self._graph = graph
        self._sides = sides_of(mesh, graph, tick=self._tick)
        self._outputs = sides_out(product, graph)

    def judge(self, example: Example, *, orders: int, seed: int) -> Judged:
        """Run an example as it is given, then in `orders` other orders of arrival, the first of them that of `seed`."""
        given = given_records(self.file, example, self._sides, tick=self._tick)
        made, refused = self._run(given)
        failures = [*self._expectations(example, made), *self._exact(example, made[""])]
        if refused != example.quarantined:
            failures.append(self._refusals(example, refused))
        truth, tried = self._truths(made), 0
        for number in range(seed, seed + orders) if not failures else ():
            tried += 1
            arrived = reordered(given, number, tick=self._tick)
            other = self._truths(self._run(arrived, seed=number)[0])
            parted = [name for name in truth if truth[name] != other[name]]
            failure = self._compared(parted[0], truth[parted[0]], other[parted[0]]) if parted else None
            if failure is not None:
                steps = tuple(self._step(one) for one in arrived)
                place = self.file.finding("HW-P150", example.path, "in another order of arrival something else is true")
                failures.append(Failure(place, *failure, seed=number, arrived=steps))
                break
        return Judged(str(self.product.name), example.name, tuple(failures), tried)

    def _run(self, given: Sequence[Given], *, seed: int | None = None) -> tuple[dict[str, list[Record]], int]:
        """What is published in each output, in order of recorded time, and how many records are set aside."""
        runner = MemoryRunner(self._plan)
        if seed is not None:
            chance = random.Random(seed)
            runner.batch, runner.choose, runner.crash = 1 + chance.randrange(4), chance.randrange, _crashing(chance)
        for one in given:
            runner.write(one.port.topic, [one.record[name] for name in one.port.key], one.record)
        newest = max((one.record["recorded_at"] for one in given), default=0)
        for topic in dict.fromkeys(port.topic for port in self._graph.inputs):
            runner.mark(topic, (newest // self._tick + 1) * self._tick - 1)
        runner.run()
        made = {
            name: sorted(runner.records(side.port.topic), key=lambda record: int(record["recorded_at"]))
            for name, side in self._outputs.items()
        }
        return made, len(runner.quarantined)

    def _expectations(self, example: Example, made: Mapping[str, Sequence[Record]]) -> Iterable[Failure]:
        for expectation in example.expect:
            output = self._output(expectation)
            known = self._known(output)
            until = None if expectation.recorded is None else Instant.parse(expectation.recorded)
            for record in made[output]:
                if until is None or record["recorded_at"] <= until:
                    known.take(record)
            valid = None if expectation.valid is None else Instant.parse(expectation.valid)
            true = f"true at {expectation.valid}" if expectation.valid else "true"
            known_at = f"as known at {expectation.recorded}" if expectation.recorded else "in the end"
            message = f"something else is {true}, {known_at}"
            found = list(known.rows(valid))
            yield from self._held("HW-P148", expectation.path, message, expectation.rows, found, output)

    def _exact(self, example: Example, made: Sequence[Record]) -> Iterable[Failure]:
        if example.records is not None:
            path, message = f"{example.path}.records", "other records are published"
            yield from self._held("HW-P149", path, message, example.records, made)

    def _output(self, expectation: Expectation) -> str:
        return _known_output(self.file, self._outputs, expectation)

    def _held(
        self, code: str, path: str, message: str, rows: tuple[Row, ...], found: Sequence[Record], output: str = ""
    ) -> Iterable[Failure]:
        """Each expected row takes a found one that agrees with it in all fields that it names; the rest is told."""
        left, missing, side = list(found), [], self._outputs[output]
        for row in rows:
            wanted = converted(self.file, side, row)
            agreeing = [one for one in left if all(one[name] == value for name, value in wanted.items())]
            if agreeing:
                left.remove(agreeing[0])
            else:
                missing.append(row.fields)
        if missing or left:
            named = {name for row in rows for name in row.fields}
            names = [name for name in side.port.fields if name in named or not named]
            shown = writer(side.schema)
            others = tuple({name: shown(one)[name] for name in names} for one in left)
            yield Failure(self.file.finding(code, path, message), tuple(missing), others, len(found) - len(left))

    def _refusals(self, example: Example, refused: int) -> Failure:
        path = f"{example.path}.quarantined"
        place = self.file.finding("HW-P151", path, "another number of records is set aside")
        return Failure(place, ({"quarantined": example.quarantined},), ({"quarantined": refused},), 0)

    def _truths(self, made: Mapping[str, Sequence[Record]]) -> dict[str, list[dict[str, Any]]]:
        """What is true in the end in each output, without what says how it came to be known."""
        return {output: self._truth(output, records) for output, records in made.items()}

    def _truth(self, output: str, made: Sequence[Record]) -> list[dict[str, Any]]:
        known = self._known(output)
        for record in made:
            known.take(record)
        rows = [{name: value for name, value in row.items() if name not in HIDDEN} for row in known.rows()]
        return sorted(rows, key=repr)

    def _compared(
        self, output: str, truth: list[dict[str, Any]], other: list[dict[str, Any]]
    ) -> tuple[tuple[Record, ...], tuple[Record, ...], int] | None:
        missing = [row for row in truth if row not in other]
        added = [row for row in other if row not in truth]
        if not missing and not added:
            return None
        write = writer(self._outputs[output].schema)
        filled = {"recorded_at": 0, "kind": "assert", "revision": 1}

        def shown(rows: list[dict[str, Any]]) -> tuple[Record, ...]:
            texts = [write({**row, **filled}) for row in rows]
            return tuple({name: value for name, value in text.items() if name not in HIDDEN} for text in texts)

        return shown(missing), shown(added), len(truth) - len(missing)

    def _step(self, one: Given) -> str:
        place = self.file.finding("", one.path, "")
        return f"line {place.line}{f' ({one.note})' if one.note else ''}"

    def _known(self, name: str) -> Known:
        output = self._outputs[name].product.output
        return KnownEvents() if output.shape == "event" else KnownFacts(output.output.key)


def examples_file(product: ResolvedProduct) -> File:
    """A product's `tests.yaml`, read; raises `InvalidFiles`, and `CallerFault` HW-P147 where there is none."""
    path, place = product.folder / EXAMPLES_FILE, f"{product.product.folder}/{EXAMPLES_FILE}"
    if not product.product.inputs or not path.is_file():
        derived = bool(product.product.inputs)
        raise CallerFault(
            f"{product.name} has no examples",
            code="HW-P147",
            detail=f"there is no file {place}" if derived else "it has no flow: its records come from a service",
            hint=f"write {place}, as docs/concepts/examples.md shows" if derived else "name a product with inputs",
        )
    file = read_examples(contract_bytes(path, place), file=place)
    file.require()
    return file


def example_findings(mesh: Mesh, product: ResolvedProduct, graph: Graph | None) -> list[Finding]:
    """What is wrong with a product's `tests.yaml`, if it has one; its records are judged where the flow is in order."""
    path, place = product.folder / EXAMPLES_FILE, f"{product.product.folder}/{EXAMPLES_FILE}"
    if not path.is_file():
        return []
    try:
        file = examples_file(product)
    except InvalidFiles as invalid:
        return list(invalid.findings)
    except CallerFault as fault:
        return [Finding(fault.code, "error", place, 0, 0, "", fault.message, fault.detail, f"remove {EXAMPLES_FILE}")]
    if graph is None:
        return []
    sides = sides_of(mesh, graph, tick=int(mesh.file.tick))
    outputs = sides_out(product, graph)
    findings: list[Finding] = []
    for example in file.require():
        try:
            given_records(file, example, sides, tick=int(mesh.file.tick))
            for one in example.expect:
                output = outputs[_known_output(file, outputs, one)]
                for row in one.rows:
                    converted(file, output, row)
            for row in example.records or ():
                converted(file, outputs[""], row)
        except InvalidFiles as invalid:
            findings += invalid.findings
    return findings


def sides_of(mesh: Mesh, graph: Graph, *, tick: int) -> Mapping[str, Side]:
    """The inputs of a flow by name, with the fields that it reads."""
    reads = fields_read(graph, tick=tick)
    return {str(port.product): Side(mesh.product(port.product), port, reads[port.product]) for port in graph.inputs}


def sides_out(product: ResolvedProduct, graph: Graph) -> Mapping[str, Side]:
    """The outputs of a product by name, the first one by the empty name."""
    views = zip(product.each, graph.outputs, strict=True)
    return {one.name.output: Side(one, made.output, frozenset()) for one, made in views}


def _known_output(file: File, outputs: Mapping[str, Side], expectation: Expectation) -> str:
    """The output that an expectation is about, as `outputs` names it; raises `InvalidFiles` HW-P179."""
    if expectation.output in ("", outputs[""].product.output.output.name):
        return ""
    if expectation.output in outputs:
        return expectation.output
    names = tuple(side.product.output.output.name for side in outputs.values())
    near = nearest(expectation.output, names)
    message = f"the product has no output '{expectation.output}'"
    why, fix = f"its outputs are {', '.join(names)}", f"write {near}" if near else f"take one of {', '.join(names)}"
    raise InvalidFiles([file.finding("HW-P179", f"{expectation.path}.output", message, why=why, fix=fix)])


def _crashing(chance: random.Random) -> Any:
    return lambda: chance.random() < 0.1

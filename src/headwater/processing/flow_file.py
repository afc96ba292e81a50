"""`flow.py` of a product, executed: the only place that does so. Nothing runs; a flow is built, and can be judged."""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from headwater.contracts.product import Input, ProductType
from headwater.errors import Finding, HeadwaterError, InvalidFiles
from headwater.mesh.products import Mesh, ResolvedProduct
from headwater.naming import ProductName
from headwater.processing.compiler import compile_plan
from headwater.processing.field_types import from_avro, written_out
from headwater.processing.field_uses import read_by
from headwater.processing.flow import Stream, source
from headwater.processing.function_text import TREE, TREE_FILE
from headwater.processing.graph import EVENT_TIMES, FACT_TIMES, HIDDEN, Graph, Port
from headwater.processing.refusals import Wrong
from headwater.processing.sql_flow import read_sql
from headwater.processing.sql_text import Refused
from headwater.processing.steps import Plan

FLOW_FILE = "flow.py"
SQL_FILE = "flow.sql"
_EXECUTED = "it is executed to build the flow, which runs nothing"


def load_plan(mesh: Mesh, product: ProductName) -> Plan:
    """The plan of a derived product: flow loaded, validated, compiled. Raises `InvalidFiles` with all findings."""
    return compile_plan(load_flow(mesh, product), tick=int(mesh.file.tick))


@dataclass(frozen=True, slots=True)
class JudgedFlow:
    """A flow with what is wrong with it. `graph` is None, and `reads` empty, where it cannot run.

    `reads` are the fields that it reads of each input, `plan` what it is compiled to.
    """

    findings: tuple[Finding, ...]
    graph: Graph | None = None
    reads: Mapping[ProductName, frozenset[str]] = field(default_factory=dict)
    plan: Plan | None = None


def check_flow(mesh: Mesh, product: ProductName) -> list[Finding]:
    """What is wrong with a derived product's flow, at its place. Executes `flow.py`, runs nothing."""
    return list(judge_flow(mesh, product).findings)


def judge_flow(mesh: Mesh, product: ProductName) -> JudgedFlow:
    """A derived product's flow with the fields that it reads, and what is wrong with it. Executes `flow.py`."""
    try:
        graph = load_flow(mesh, product)
    except InvalidFiles as invalid:
        return JudgedFlow(invalid.findings)
    try:
        plan = compile_plan(graph, tick=int(mesh.file.tick))
    except InvalidFiles as invalid:
        return JudgedFlow(invalid.findings)
    reads = read_by(graph, plan)
    return JudgedFlow(tuple(_undeclared(mesh.product(product), graph, reads)), graph, reads, plan)


def unread(declared: Input, port: Port, read: frozenset[str]) -> list[str]:
    """The fields that `reads` declares and the flow does not read. Keys and times are always read."""
    known = {*read, *port.key, *HIDDEN, *EVENT_TIMES, *FACT_TIMES}
    return [name for name in declared.reads if name not in known]


def load_flow(mesh: Mesh, product: ProductName) -> Graph:
    """The flow of a derived product, to all its outputs.

    Raises `InvalidFiles` where its file cannot be read or does not give a stream for each output.
    """
    resolved = mesh.whole(product.whole)
    place = f"{resolved.product.folder}/{FLOW_FILE}"
    if (resolved.folder / SQL_FILE).is_file():
        return _load_sql(mesh, resolved)
    function = _function(resolved.folder / FLOW_FILE, place)
    inputs = tuple(port_of(mesh.product(read.product)) for read in resolved.product.inputs)
    parameters = list(inspect.signature(function).parameters.values())
    line = function.__code__.co_firstlineno
    names = ", ".join(str(port.product) for port in inputs)
    if len(parameters) != len(inputs) or any(parameter.kind.name.startswith("VAR_") for parameter in parameters):
        message = f"flow() takes {len(parameters)} streams, and product.yaml names {len(inputs)} inputs"
        raise _invalid(place, line, "HW-P003", message, "one parameter for each input, in order", names)
    try:
        made = function(*(source(index) for index in range(len(inputs))))
    except HeadwaterError as error:
        raise _invalid(
            place, _line_in(error, place, line), error.code, error.message, error.detail, error.hint
        ) from None
    except (Exception, SystemExit) as error:
        raise _raised("flow()", error, place, line) from None
    return _graph(_streams(made, resolved, place, line), inputs, resolved, place)


def _streams(made: Any, resolved: ResolvedProduct, place: str, line: int) -> list[Stream]:
    """The stream of each output, in the order of the contract."""
    declared = [output.output.name for output in resolved.outputs]
    entries = ", ".join(f'"{name}": ...' for name in declared)
    fix = f"return {{{entries}}}"
    if isinstance(made, Mapping):
        given = [str(name) for name in made]
        lacking = [name for name in declared if name not in given]
        unknown = [name for name in given if name not in declared]
        if lacking or unknown:
            told = [f"returns no '{name}'" for name in lacking]
            told += [f"returns '{name}', which product.yaml does not declare" for name in unknown]
            message, why = f"flow() {', and '.join(told)}", "each output of product.yaml is one stream of the flow"
            raise _invalid(place, line, "HW-P177", message, why, fix)
        streams = [made[name] for name in declared]
    elif len(declared) > 1 and isinstance(made, Stream):
        message = f"flow() returns one stream, and product.yaml declares the outputs {', '.join(declared)}"
        raise _invalid(place, line, "HW-P177", message, "each output is one stream of the flow", fix)
    else:
        streams = [made]
    for stream in streams:
        if not isinstance(stream, Stream):
            message = f"flow() returns a {type(stream).__name__}"
            raise _invalid(place, line, "HW-P005", message, "what it returns is published", "return the last stream")
    return streams


def _graph(streams: list[Stream], inputs: tuple[Port, ...], resolved: ResolvedProduct, place: str) -> Graph:
    first, *further = [
        Graph(stream.node, inputs, port_of(one), place) for stream, one in zip(streams, resolved.each, strict=True)
    ]
    return replace(first, further=tuple(further))


def _load_sql(mesh: Mesh, resolved: ResolvedProduct) -> Graph:
    place = f"{resolved.product.folder}/{SQL_FILE}"
    if (resolved.folder / FLOW_FILE).is_file():
        message, fix = "flow.sql and flow.py stand side by side", "keep one of them"
        raise _invalid(place, 1, "HW-P163", message, "one flow makes a product", fix)
    try:
        text = (resolved.folder / SQL_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message, fix = f"flow.sql cannot be read: {type(error).__name__}", "save it as UTF-8, or mend its rights"
        raise _invalid(place, 0, "HW-P155", message, "it makes the product's stream", fix) from None
    if len(resolved.outputs) > 1:
        names = ", ".join(output.output.name for output in resolved.outputs)
        message = f"flow.sql is one statement, and product.yaml declares the outputs {names}"
        why, fix = "a statement gives one stream", "write flow.py, which may return several"
        raise _invalid(place, 1, "HW-P178", message, why, fix)
    inputs = tuple(port_of(mesh.product(read.product)) for read in resolved.product.inputs)
    try:
        return read_sql(text, inputs, port_of(resolved), place)
    except Refused as refused:
        line, column = refused.place
        raise _invalid(place, line, refused.code, refused.message, refused.why, refused.fix, column=column) from None
    except Wrong as wrong:
        raise InvalidFiles([wrong.finding]) from None
    except HeadwaterError as error:
        raise _invalid(place, 1, error.code, error.message, error.detail, error.hint) from None


def port_of(resolved: ResolvedProduct) -> Port:
    """A product as flows see it.

    Facts of an aggregate lie on a grid, since windows do; so do those of a source whose contract says so, for the relay
    holds each record against it. Others may overlap. A derived product's may be sessions, or made of them, and give
    way to others.
    """
    output, contract = resolved.output, resolved.output.output
    return Port(
        product=resolved.name,
        major=resolved.major,
        topic=output.topic,
        key=contract.key,
        partitions=contract.partitions,
        shape=output.shape,
        fields={name: from_avro(type_) for name, type_ in written_out(output.schema.inlined).items()},
        corrections=contract.corrections == "all",
        accept_late=None if contract.accept_late is None else int(contract.accept_late),
        grid=resolved.product.type is ProductType.AGGREGATE or contract.grid is not None,
        moving=output.shape == "fact" and resolved.product.type is not ProductType.SOURCE_ALIGNED,
    )


def _undeclared(resolved: ResolvedProduct, graph: Graph, read: Mapping[ProductName, frozenset[str]]) -> list[Finding]:
    """Fields that the flow reads and `reads` in product.yaml does not name: who changes one asks there whom it hits."""
    findings = []
    for declared, port in zip(resolved.product.inputs, graph.inputs, strict=True):
        known = {*declared.reads, *port.key, *HIDDEN, *EVENT_TIMES, *FACT_TIMES}
        missing = sorted(read[port.product] - known) if declared.reads else []
        if missing:
            names = ", ".join(f"'{name}'" for name in missing)
            message = f"the flow reads {names} of {port.product}, and product.yaml does not say so"
            why = "whoever changes a field asks its readers, and finds them by what they declare"
            fix = f"add {', '.join(missing)} to reads"
            findings.append(Finding("HW-P006", "error", graph.file, 1, 1, "", message, why, fix))
    return findings


def _function(path: Path, place: str) -> Any:
    try:
        tree = ast.parse(path.read_bytes(), place)
        code = compile(tree, place, "exec")
    except OSError as error:
        message = f"flow.py cannot be read: {error.strerror}"
        raise _invalid(place, 0, "HW-P001", message, _EXECUTED, "put the file there, or mend its rights") from None
    except SyntaxError as error:
        message, line, column = f"flow.py is not Python: {error.msg}", error.lineno or 1, error.offset or 1
        raise _invalid(place, line, "HW-P001", message, _EXECUTED, "mend this line", column=column) from None
    module = ModuleType(f"headwater_flow_{hashlib.sha256(place.encode()).hexdigest()[:12]}")
    module.__file__ = str(path)
    module.__dict__.update({TREE: tree, TREE_FILE: place})
    try:
        exec(code, module.__dict__)  # noqa: S102 - a product's own code; this is the one place that runs it
    except HeadwaterError as error:
        raise _invalid(place, _line_in(error, place, 1), error.code, error.message, error.detail, error.hint) from None
    except (Exception, SystemExit) as error:
        raise _raised("flow.py", error, place, 1) from None
    function = module.__dict__.get("flow")
    if not inspect.isfunction(function):
        hint = "def flow(<one parameter for each input>): ..."
        raise _invalid(place, 1, "HW-P002", "flow.py has no function 'flow'", "it makes the product's stream", hint)
    return function


def _raised(what: str, error: BaseException, place: str, line: int) -> InvalidFiles:
    """What the product's own code raised. `SystemExit` too: else it would end a check silently, even with success."""
    message, fix = f"{what} raises {type(error).__name__}: {error}", "mend this line, or what it calls"
    return _invalid(place, _line_in(error, place, line), "HW-P004", message, _EXECUTED, fix)


def _line_in(error: BaseException, place: str, otherwise: int) -> int:
    """The last line of flow.py that the error passed."""
    line, traceback = otherwise, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == place:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _invalid(
    place: str, line: int, code: str, message: str, why: str, fix: str = "", *, column: int = 1
) -> InvalidFiles:
    return InvalidFiles([Finding(code, "error", place, line, column, "", message, why, fix)])

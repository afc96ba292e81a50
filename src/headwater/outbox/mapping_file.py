"""`mapping.py` of a captured product, executed: the only place that does so, and judged before anything runs.

    from headwater import Change, Record

    def mapping(change: Change) -> list[Record]:
        ...

    SAMPLES = [Change("insert", None, {"id": 1, ...}, datetime(2026, 1, 1, tzinfo=UTC)), ...]

`SAMPLES` are changes that `headwater check` tries: what the mapping gives must fit the product's schema, and be the
same when it is asked again.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import importlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from headwater.errors import Finding, InvalidFiles, Misfit
from headwater.mesh.load import MAPPING_FILE
from headwater.mesh.products import Mesh, ResolvedProduct
from headwater.outbox.change import Change
from headwater.outbox.mapper import RECORDS_LIMIT, MappingFunction, RecordWriter
from headwater.outbox.mapping_rules import rule_findings

_EXECUTED = "it is executed to get the mapping"
_SHAPE = "def mapping(change: Change) -> list[Record]: ..."


@dataclass(frozen=True, slots=True)
class LoadedMapping:
    """A product's mapping; `fingerprint` tells its text from every other, `line` is where the function stands."""

    function: MappingFunction
    fingerprint: str
    samples: tuple[Any, ...]
    line: int


def load_mapping(product: ResolvedProduct) -> LoadedMapping:
    """The mapping of a product; raises `InvalidFiles` where `mapping.py` cannot be read or has none."""
    place = f"{product.product.folder}/{MAPPING_FILE}"
    text = _text(product.folder / MAPPING_FILE, place)
    module = _executed(_parsed(text, place), place, product.folder / MAPPING_FILE)
    function = module.__dict__.get("mapping")
    if not inspect.isfunction(function):
        raise _invalid("HW-O144", place, 1, "mapping.py has no function 'mapping'", "it makes the records", _SHAPE)
    line = function.__code__.co_firstlineno
    if len(inspect.signature(function).parameters) != 1:
        message = f"mapping() takes {len(inspect.signature(function).parameters)} parameters"
        raise _invalid("HW-O144", place, line, message, "it is given one change at a time", _SHAPE)
    samples = module.__dict__.get("SAMPLES", ())
    found = tuple(samples) if isinstance(samples, list | tuple) else (samples,)
    return LoadedMapping(function, hashlib.sha256(text).hexdigest()[:16], found, line)


def mapping_findings(mesh: Mesh) -> list[Finding]:
    """What is wrong with the mappings of a mesh, at its place. Executes each `mapping.py`, and tries its samples."""
    findings: list[Finding] = []
    for product in mesh.products.values():
        if product.product.capture is not None and (product.folder / MAPPING_FILE).is_file():
            try:
                findings += _judged(product)
            except InvalidFiles as invalid:
                findings += invalid.findings
    return findings


def _judged(product: ResolvedProduct) -> list[Finding]:
    place = f"{product.product.folder}/{MAPPING_FILE}"
    tree = _parsed(_text(product.folder / MAPPING_FILE, place), place)
    findings = rule_findings(tree, place, importlib.import_module("headwater").__all__)
    if findings:
        return findings  # what reaches outside is not run by a check
    loaded = load_mapping(product)
    if not loaded.samples:
        message, why = "mapping.py has no SAMPLES", "what the mapping gives is seen first when the relay runs"
        fix = "SAMPLES = [Change(...), ...]: one for each kind of change"
        return [Finding("HW-O147", "warning", place, loaded.line, 1, "", message, why, fix)]
    writer = RecordWriter(product)
    return [
        Finding("HW-O148", "error", place, loaded.line, 1, f"SAMPLES[{at}]", f"SAMPLES[{at}]: {wrong}", why, fix)
        for at, sample in enumerate(loaded.samples)
        if (told := _tried(loaded.function, sample, writer)) is not None
        for wrong, why, fix in [told]
    ]


def _tried(function: MappingFunction, sample: object, writer: RecordWriter) -> tuple[str, str, str] | None:
    """What is wrong with what a sample gives; None where nothing is."""
    if not isinstance(sample, Change):
        return (
            f"a {type(sample).__name__}, not a Change",
            "the mapping is given changes",
            "Change(op, before, after, at)",
        )
    try:
        given = [list(islice(_given(function, sample), RECORDS_LIMIT)) for _ in range(2)]
        for record in given[0]:
            writer.key_and_payload(record)
    except Misfit as misfit:
        return f"{misfit.message}", misfit.detail or "such a change goes to quarantine", misfit.hint or "mend mapping()"
    except (Exception, SystemExit) as error:
        message = f"mapping() raises {type(error).__name__}: {error}"
        return message, "such a change goes to quarantine", "mend mapping(), or the sample"
    if given[0] != given[1]:
        why = "the same change must always give the same records"
        return "asked twice, the mapping gives two answers", why, "use nothing but the change"
    return None


def _given(function: MappingFunction, sample: Change) -> Iterable[Any]:
    rows = [
        None if row is None else MappingProxyType(copy.deepcopy(dict(row))) for row in (sample.before, sample.after)
    ]
    return function(Change(sample.op, rows[0], rows[1], sample.committed_at))


def _text(path: Path, place: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message, fix = f"mapping.py cannot be read: {error.strerror}", "put the file there, or mend its rights"
        raise _invalid("HW-O143", place, 0, message, _EXECUTED, fix) from None


def _parsed(text: bytes, place: str) -> ast.Module:
    try:
        return ast.parse(text, place)
    except SyntaxError as error:
        message, line = f"mapping.py is not Python: {error.msg}", error.lineno or 1
        raise _invalid("HW-O143", place, line, message, _EXECUTED, "mend this line") from None


def _executed(tree: ast.Module, place: str, path: Path) -> ModuleType:
    module = ModuleType(f"headwater_mapping_{hashlib.sha256(place.encode()).hexdigest()[:12]}")
    module.__file__ = str(path)
    try:
        exec(compile(tree, place, "exec"), module.__dict__)  # noqa: S102 - a product's own code; only here
    except (Exception, SystemExit) as error:
        line, traceback = 1, error.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == place:
                line = traceback.tb_lineno
            traceback = traceback.tb_next
        message = f"mapping.py raises {type(error).__name__}: {error}"
        raise _invalid("HW-O145", place, line, message, _EXECUTED, "mend this line, or what it calls") from None
    return module


def _invalid(code: str, place: str, line: int, message: str, why: str, fix: str) -> InvalidFiles:
    return InvalidFiles([Finding(code, "error", place, line, 1 if line else 0, "", message, why, fix)])

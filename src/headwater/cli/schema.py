"""`headwater schema`: may this schema follow those, what differs, what is released."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headwater.cli.schema_generate import generate
from headwater.cli.schema_infer import infer

if TYPE_CHECKING:
    from headwater.schemas.avro import Schema
    from headwater.schemas.evolution import Step

app = typer.Typer(help="Avro schemas: check a change, show it, and lock what is released.", no_args_is_help=True)
app.command()(generate)
app.command()(infer)

Output = Annotated[Literal["text", "json"], typer.Option("--output", help="How to print.")]
References = Annotated[
    list[Path] | None,
    typer.Option("--reference", help="A schema whose types the others use; each after what it uses itself."),
]


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="The earlier schemas, oldest first, and the new one last.")],
    level: Annotated[str, typer.Option(help="The compatibility level.")] = "BACKWARD",
    reference: References = None,
    output: Output = "text",
) -> None:
    """Say whether the last schema may follow the others, and each reason against it. Exit code 1 where it may not."""
    from headwater.cli import console
    from headwater.errors import CallerFault
    from headwater.schemas.evolution import check_level, compatible, judge

    if len(files) < 2:
        raise CallerFault("one schema alone cannot be compared", code="HW-S080", hint="give OLD... NEW")
    steps = judge(
        check_level(level.upper()), [_read(file, reference) for file in files[:-1]], _read(files[-1], reference)
    )
    fine = compatible(steps)
    if output == "json":
        console.print_json_line({"compatible": fine, "findings": [_finding(step, files) for step in steps]})
    else:
        _show(steps, files)
        console.out("compatible" if fine else "not compatible" + f" under {level.upper()}")
    raise typer.Exit(0 if fine else 1)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="The schema as it was.")],
    new: Annotated[Path, typer.Argument(help="The schema as it is to be.")],
    reference: References = None,
    output: Output = "text",
) -> None:
    """Show what differs between two schemas, and what that means for readers on either side."""
    from headwater.cli import console
    from headwater.schemas.differences import differences
    from headwater.schemas.evolution import judge

    before, after = _read(old, reference), _read(new, reference)
    changes = differences(before, after)
    steps = judge("FULL", [before], after)
    broken = {step.direction for step in steps if step.found.severity == "error"}
    if output == "json":
        findings = [_finding(step, [old, new]) for step in steps]
        verdict = {side: side not in broken for side in ("backward", "forward")}
        console.print_json_line({"changes": [change.as_json() for change in changes], **verdict, "findings": findings})
        return
    for change in changes:
        console.out(change.text())
    if not changes:
        console.out("no difference")
    _show(steps, [old, new])
    console.out(f"new readers, old records: {'broken' if 'backward' in broken else 'fine'}")
    console.out(f"old readers, new records: {'broken' if 'forward' in broken else 'fine'}")


@app.command()
def lock(
    check_only: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 where something is missing.")
    ] = False,
    output: Output = "text",
) -> None:
    """Release schemas and contracts as they stand: add what is new to versions.lock and releases.lock beside them."""
    from headwater.cli import console
    from headwater.errors import InvalidFiles
    from headwater.mesh.load import require_mesh
    from headwater.plan.locking import lock_files, unlocked
    from headwater.settings import load_settings

    folder = load_settings().mesh_folder
    require_mesh(folder)
    files = lock_files(folder)
    findings = unlocked(files) if check_only else []
    if findings:
        if output == "json":
            console.print_json_line({"findings": [finding.as_json() for finding in findings]})
            raise typer.Exit(1)
        raise InvalidFiles(findings)
    new = [] if check_only else [file for file in files if file.added]
    for file in new:
        file.path.write_text(file.text, encoding="utf-8")
    added = [
        {"file": file.file, "schema" if file.file.endswith("versions.lock") else "product": name, "version": version}
        for file in new
        for name, version in file.added
    ]
    schemas = sum(1 for file in files if file.file.endswith("versions.lock") for _ in file.text.splitlines())
    if output == "json":
        console.print_json_line({"added": added, "versions": schemas})
        return
    for file in new:
        for name, version in file.added:
            console.out(f"{file.file}: {name} {'version ' if isinstance(version, int) else ''}{version}")
    if not added:
        console.out(f"{len(files)} locks, all as the files stand")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A schema's full name, such as flights.departures.Departure, or a file.")],
    output: Output = "text",
) -> None:
    """Show a schema: its fields, its fingerprint, its released versions."""
    from headwater.cli import console
    from headwater.errors import CallerFault
    from headwater.schemas.annotations import payload_schema, tags
    from headwater.schemas.tree import read_tree
    from headwater.schemas.types import type_name
    from headwater.schemas.versions import LOCK_FILE, read_lock
    from headwater.settings import load_settings

    numbers: list[int] = []
    if Path(name).is_file():
        schema = _read(Path(name), None)
    else:
        root = load_settings().mesh_folder
        tree = read_tree(root / "schemas" / "avro", root=root)
        if name not in tree:
            known = ", ".join(tree) or "none: schemas/avro is empty"
            raise CallerFault(f"the mesh has no schema '{name[:120]}'", code="HW-S081", hint=f"one of {known}")
        schema = tree[name].schema
        numbers = [locked.version for locked in read_lock(tree[name].path.parent / LOCK_FILE).history(name)]
    if output == "json":
        value = {
            "name": schema.name,
            "fingerprint": f"{schema.fingerprint:016x}",
            "payload_fingerprint": f"{payload_schema(schema).fingerprint:016x}",
            "versions": numbers,
            "schema": schema.json,
        }
        console.print_json_line(value)
        return
    console.out(f"{schema.name}  fingerprint {schema.fingerprint:016x}  versions {numbers or 'none released'}")
    rows = [(field.name, type_name(field.type), ", ".join(tags(field)), field.doc) for field in schema.fields]
    console.table("", ("field", "type", "tags", "doc"), rows)


def _read(path: Path, references: list[Path] | None) -> Schema:
    from headwater.schemas.tree import read_schema

    found: dict[str, str | Schema] = {}
    for reference in references or []:
        schema = read_schema(reference, found)
        found[schema.name] = schema
    return read_schema(path, found)


def _finding(step: Step, files: list[Path]) -> dict[str, object]:
    return {**step.as_json(), "earlier": str(files[step.earlier]), "place": _place(step, files)}


def _place(step: Step, files: list[Path]) -> str:
    """Where in the new schema's file a finding stands."""
    from headwater.schemas.places import place_of
    from headwater.schemas.tree import read_text

    path = step.found.reader_path if step.direction == "backward" else step.found.writer_path
    line, column = place_of(read_text(files[-1], str(files[-1])), path)
    return f"{files[-1]}:{line}:{column}"


def _show(steps: list[Step], files: list[Path]) -> None:
    from headwater.cli import console

    for step in steps:
        console.out(f"{step.found.severity}: {_place(step, files)} {step.sentence(str(files[step.earlier]))}")

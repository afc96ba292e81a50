"""`headwater contract`: products as files of the contract standards, and contracts of others as products."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from headwater.catalog.standards.odcs_import import Imported
    from headwater.contracts.environment import MeshFile
    from headwater.mesh.products import Mesh, ResolvedProduct

app = typer.Typer(help="Contracts as files of the standards: ODCS, ODPS, AsyncAPI, Backstage.", no_args_is_help=True)

Standard = Literal["odcs", "odps", "asyncapi", "backstage"]


@app.command("export")
def export_products(
    products: Annotated[
        list[str] | None, typer.Argument(help="Names such as flights.departures; none for all.")
    ] = None,
    standard: Annotated[Standard, typer.Option(help="Which standard.")] = "odcs",
    standard_version: Annotated[
        str, typer.Option("--standard-version", help="The edition of ODCS: 3.2 or 3.1. The others have one.")
    ] = "",
    folder: Annotated[Path | None, typer.Option(help="Write files into this folder instead of stdout.")] = None,
) -> None:
    """Write products as documents of a standard: made anew from product.yaml and the schema, never kept by hand."""
    from headwater.catalog.standards.yaml_text import yaml_texts
    from headwater.cli import console
    from headwater.mesh.load import load_mesh
    from headwater.settings import load_settings

    mesh = load_mesh(load_settings().mesh_folder)
    chosen = [mesh.whole(name) for name in products] if products else list(mesh.products.values())
    files = _files(chosen, mesh, standard, standard_version)
    if folder is None:
        console.out(yaml_texts([document for documents in files.values() for document in documents]).rstrip("\n"))
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, documents in files.items():
        _write(folder / name, yaml_texts(documents))
        console.out(str(folder / name))


@app.command("import")
def import_contracts(
    files: Annotated[list[Path], typer.Argument(help="Contracts in ODCS 3.0 to 3.2, *.odcs.yaml.")],
    folder: Annotated[Path | None, typer.Option(help="The mesh's folder. Default: the mesh around here.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files that exist.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; show what would be.")] = False,
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print.")] = "text",
) -> None:
    """Make products of contracts: product.yaml, the Avro schema, and a list of whatever could not be carried.

    Nothing is written where a contract has an error (exit code 1), nor over a file that exists without --force.
    """
    from headwater.cli import console
    from headwater.contracts.load import MESH_FILE, load_mesh_file
    from headwater.errors import CallerFault
    from headwater.mesh.links import require_inside
    from headwater.settings import load_settings

    root = folder or load_settings().mesh_folder
    imported = [_import(path, load_mesh_file(root / MESH_FILE)) for path in files]
    texts: dict[str, str] = {}
    for one in imported:
        for name, text in one.files.items():
            if name in texts:
                why = "two contracts become one product"
                raise CallerFault(
                    f"{name} would be written twice", code="HW-C113", detail=why, hint="import one of them"
                )
            texts[name] = text
    require_inside(root, [MESH_FILE, *sorted({name.partition("/")[0] for name in texts})])
    there = [name for name in texts if (root / name).exists()]
    if there and not force and not dry_run:
        what = f"{there[0]} exists" if len(there) == 1 else f"{there[0]} and {len(there) - 1} more exist"
        raise CallerFault(
            what, code="HW-C114", hint="look with --dry-run, then repeat with --force", detail="nothing was written"
        )
    broken = any(finding.severity == "error" for one in imported for finding in one.findings)
    written = {} if broken or dry_run else texts
    for name, text in written.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        _write(root / name, text)
    if output == "json":
        findings = [finding.as_json() for one in imported for finding in one.findings]
        console.print_json({"files": list(texts), "written": bool(written), "findings": findings})
    else:
        _show(imported, texts, written=bool(written))
    if broken:
        raise typer.Exit(1)


def _write(path: Path, text: str) -> None:
    """In place of a link that stands there: nothing is written through it."""
    if path.is_symlink():
        path.unlink()
    path.write_text(text, encoding="utf-8")


def _files(
    products: list[ResolvedProduct], mesh: Mesh, standard: str, edition: str
) -> dict[str, list[dict[str, object]]]:
    """The documents by the name of their file; Backstage's entities are shared, and go into one."""
    from headwater.catalog.standards import asyncapi, backstage, odcs, odps
    from headwater.catalog.standards.odcs_own import edition as edition_of
    from headwater.errors import CallerFault

    if standard == "odcs":
        written = edition_of(edition or "3.2")
        return {f"{one.name}{odcs.SUFFIX}": [odcs.document(one, mesh.file, written)] for one in products}
    if edition:
        hint = "leave --standard-version out"
        raise CallerFault(f"{standard} is written in one version only", code="HW-C115", hint=hint)
    if standard == "odps":
        return {f"{one.name}{odps.SUFFIX}": [odps.document(one, mesh)] for one in products}
    if standard == "asyncapi":
        return {f"{one.name}{asyncapi.SUFFIX}": [asyncapi.document(one, mesh)] for one in products}
    return {backstage.FILE: backstage.documents(products, mesh)}


def _import(path: Path, mesh: MeshFile) -> Imported:
    from headwater.catalog.standards.odcs_import import import_contract
    from headwater.contracts.strict_yaml import BYTES_LIMIT, FOREIGN_FACTOR
    from headwater.errors import Finding, InvalidFiles

    try:
        with path.open("rb") as opened:
            data = opened.read(BYTES_LIMIT * FOREIGN_FACTOR + 1)
    except OSError as error:
        why = error.strerror or type(error).__name__
        message, fix = "the contract cannot be read", "name a file in ODCS"
        raise InvalidFiles([Finding("HW-C116", "error", str(path), 0, 0, "", message, why, fix)]) from None
    return import_contract(data, file=str(path), mesh=mesh)


def _show(imported: list[Imported], texts: Mapping[str, str], *, written: bool) -> None:
    from headwater.cli import console

    for one in imported:
        for finding in one.findings:
            console.out(f"{'' if finding.severity == 'error' else f'{finding.severity}: '}{finding.render()}")
    for name in texts:
        console.out(f"{'wrote' if written else 'would write'} {name}")
    count = sum(len(one.findings) for one in imported)
    products = sum(len(one.products) for one in imported)
    console.out(f"{products} product{'' if products == 1 else 's'}, {count or 'no'} finding{'' if count == 1 else 's'}")

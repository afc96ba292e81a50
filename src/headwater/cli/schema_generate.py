"""`headwater schema generate`: the records of products as Python types."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from headwater.mesh.products import ResolvedProduct
    from headwater.schemas.generate import Style


def generate(
    products: Annotated[
        list[str] | None, typer.Argument(help="The products; all of the mesh if none is named.")
    ] = None,
    style: Annotated[
        Literal["pydantic", "dataclass"], typer.Option("--style", help="What the records become.")
    ] = "dataclass",
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where to write a module per product; stdout for one if left out.")
    ] = None,
    check_only: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 where a module is not as it would be written.")
    ] = False,
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print.")] = "text",
) -> None:
    """Write the records of products as Python types: classes that need nothing but the standard library, or pydantic.

    A source-aligned product gets two: the record as readers see it, and the payload that its service emits.
    """
    from headwater.cli import console
    from headwater.errors import CallerFault
    from headwater.mesh.load import load_mesh
    from headwater.settings import load_settings

    mesh = load_mesh(load_settings().mesh_folder)
    chosen = [mesh.whole(name) for name in dict.fromkeys(products or [])] or list(mesh.products.values())
    if folder is None:
        if len(chosen) != 1 or check_only:
            raise CallerFault(
                f"{len(chosen)} modules need a folder to stand in",
                code="HW-S091",
                detail="without one the source of a single product goes to stdout",
                hint="headwater schema generate --folder models",
            )
        console.out(source(chosen[0], style).removesuffix("\n"))
        return
    stale = []
    for product in chosen:
        path, text = folder / module_name(product), source(product, style)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append({"product": str(product.name), "file": path.as_posix()})
            if not check_only:
                folder.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    if output == "json":
        console.print_json_line({"stale" if check_only else "written": stale, "modules": len(chosen)})
    else:
        for entry in stale:
            console.out(f"{entry['file']} {'is stale' if check_only else 'written'}")
        if not stale:
            console.out(f"{len(chosen)} modules, all as their schemas are")
    if check_only and stale:
        raise typer.Exit(1)


def module_name(product: ResolvedProduct) -> str:
    """The file of a product's types."""
    return f"{str(product.name).replace('.', '_')}.py"


def source(product: ResolvedProduct, style: Style) -> str:
    """The source of a product's types: its outputs' records, and the payloads where a service emits them."""
    from headwater.schemas.generate import Root, generate

    roots = []
    for output in product.outputs:
        roots.append(Root(output.schema, key=output.output.key))
        if product.product.outbox is not None or product.product.capture is not None:
            simple = output.schema.name.rpartition(".")[2]
            roots.append(Root(output.payload_schema, f"{simple}Payload", output.output.key))
    return generate(roots, style, about=str(product.name))

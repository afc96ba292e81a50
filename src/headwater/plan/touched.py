"""From files that changed to the products that they are part of, and the places whose findings are then of interest."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.contracts.load import MESH_FILE
from headwater.mesh.load import CONSUMERS, SCHEMAS_FOLDER, Survey
from headwater.naming import ProductName
from headwater.plan.releases import ProductChange
from headwater.schemas.tree import SchemaFile


def touched(
    read: Survey, files: frozenset[str], changes: Sequence[ProductChange]
) -> tuple[frozenset[ProductName], frozenset[str]]:
    """The products that changed, and the files and folders of these, of whom they hit, and of all that changed.

    A change of `mesh.yaml` touches every product; one of a shared schema those that use it.
    """
    products = read.mesh.products if read.mesh is not None else {}
    everything = MESH_FILE in files
    names = frozenset(
        name for name, resolved in products.items()
        if everything or any(_below(file, place) for file in files for place in _places(name, resolved.product.folder))
        or any(_used_files(read, output.schema.name) & files for output in resolved.outputs)
    )  # fmt: skip
    hit = {one for change in changes if change.product in names for one in change.hit}
    below = {
        str(name)
        for name, resolved in products.items()
        if any(one.product.whole in names for one in resolved.product.inputs)
    }
    places = {f"{CONSUMERS}/{one}.yaml" for one in hit}
    for name, resolved in products.items():
        if name in names or str(name) in hit | below:
            places |= set(_places(name, resolved.product.folder))
    return names, frozenset({*places, *files})


def _places(name: ProductName, folder: str) -> tuple[str, str]:
    return folder, f"{SCHEMAS_FOLDER}/{name.domain}/{name.product}"


def _below(file: str, place: str) -> bool:
    return file.startswith(f"{place}/")


def _used_files(read: Survey, schema: str) -> frozenset[str]:
    """The files of a schema and of all that it refers to."""
    seen: dict[str, SchemaFile] = {}
    waiting = [schema]
    while waiting:
        name = waiting.pop()
        item = read.tree.get(name)
        if item is not None and name not in seen:
            seen[name] = item
            waiting += item.references
    return frozenset(item.file for item in seen.values())

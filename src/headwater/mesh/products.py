"""A product with its schemas resolved: where contracts and schemas meet, and what all that runs starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from headwater.contracts.consumer import Consumer
from headwater.contracts.environment import MeshFile
from headwater.contracts.product import Output, Product
from headwater.errors import CallerFault
from headwater.naming import ProductName
from headwater.schemas.annotations import Shape
from headwater.schemas.avro import Schema


@dataclass(frozen=True, slots=True)
class ResolvedOutput:
    """An output with its schema. `payload_schema` lacks the platform's fields, as the payload of an outbox row does."""

    output: Output
    schema: Schema
    payload_schema: Schema
    shape: Shape
    topic: str
    subject: str


@dataclass(frozen=True, slots=True)
class ResolvedProduct:
    """A product with its outputs resolved. `folder` is absolute."""

    product: Product
    outputs: tuple[ResolvedOutput, ...]
    folder: Path

    @property
    def name(self) -> ProductName:
        """The product's name."""
        return self.product.name

    @property
    def major(self) -> int:
        """The major version."""
        return self.product.major

    @property
    def output(self) -> ResolvedOutput:
        """The first output, which has the product's own names."""
        return self.outputs[0]

    @property
    def each(self) -> tuple[ResolvedProduct, ...]:
        """This product for each of its outputs, as who reads that one sees it; the first is the product itself."""
        further = range(1, len(self.outputs))
        views = [ResolvedProduct(self.product.of_output(at), (self.outputs[at],), self.folder) for at in further]
        return (self, *views)

    def of(self, name: ProductName) -> ResolvedProduct | None:
        """This product as who reads an output of it sees it, the first one by its name too; None without such one."""
        if name.output in ("", self.output.output.name):
            return self
        return next((one for one in self.each if one.name == name), None)


@dataclass(frozen=True, slots=True)
class Mesh:
    """A mesh whose files are all in order. `products` is sorted by name, `consumers` are the readers outside of it."""

    file: MeshFile
    folder: Path
    products: Mapping[ProductName, ResolvedProduct]
    consumers: Mapping[str, Consumer] = field(default_factory=dict)

    def find(self, name: ProductName) -> ResolvedProduct | None:
        """One product, or a further output of one as a product with that alone; None where there is none."""
        whole = self.products.get(name.whole)
        return whole.of(name) if whole is not None else None

    def whole(self, name: ProductName | str) -> ResolvedProduct:
        """One product with all its outputs; raises `CallerFault` HW-C060, and HW-C121 for the name of an output."""
        wanted = ProductName.parse(name) if isinstance(name, str) else name
        found = self.product(wanted)
        if wanted.output:
            raise CallerFault(
                f"'{wanted}' is an output of {wanted.whole}",
                code="HW-C121",
                detail="this is done for a product as a whole: all its outputs come from one flow",
                hint=f"write {wanted.whole}",
            )
        return found

    def product(self, name: ProductName | str) -> ResolvedProduct:
        """One product, or with the name of a further output (`a.b/alerts`) the product with that output alone.

        Raises `CallerFault` HW-C060 where the mesh has none of that name.
        """
        wanted = ProductName.parse(name) if isinstance(name, str) else name
        found = self.find(wanted)
        if found is None:
            names = [str(one.name) for known in self.products.values() for one in known.each]
            near = get_close_matches(str(wanted), names, n=1)
            raise CallerFault(
                f"the mesh '{self.file.name}' has no product '{wanted}'",
                code="HW-C060",
                detail=f"it has {', '.join(names) or 'none'}",
                hint=f"write {near[0]}" if near else "name one of those, or write its product.yaml",
            )
        return found

    def in_order(self) -> list[ResolvedProduct]:
        """All products, each after those that it reads."""
        done: dict[ProductName, ResolvedProduct] = {}

        def visit(resolved: ResolvedProduct) -> None:
            if resolved.name not in done:
                for source in resolved.product.inputs:
                    visit(self.products[source.product.whole])
                done[resolved.name] = resolved

        for resolved in self.products.values():
            visit(resolved)
        return list(done.values())

"""Who reads what in a mesh: declared by readers outside, worked out from the flows inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from headwater.contracts.product import Owner
from headwater.lineage.fields import Edge, consumer, field, product
from headwater.lineage.graph import Lineage
from headwater.mesh.products import Mesh, ResolvedProduct
from headwater.naming import ProductName
from headwater.processing.field_uses import field_uses
from headwater.processing.flow_file import JudgedFlow
from headwater.processing.graph import EVENT_TIMES, FACT_TIMES, HIDDEN

Flows = Mapping[ProductName, JudgedFlow]


@dataclass(frozen=True, slots=True)
class Reader:
    """One who reads a major of a product. `fields` are those that it reads; None: it does not say, so all.

    A product reads by a flow that is compiled anew from the schema that is applied; a consumer keeps its own.
    """

    kind: Literal["product", "consumer"]
    name: str
    owner: Owner
    source: ProductName
    major: int
    fields: frozenset[str] | None

    def reads(self, name: str) -> bool:
        """Whether it reads a field."""
        return self.fields is None or name in self.fields


def readers_of(mesh: Mesh, flows: Flows) -> list[Reader]:
    """Every reader of every product: products by what their flows read, consumers by what they declare."""
    readers = []
    for resolved in mesh.products.values():
        for read in resolved.product.inputs:
            fields = _read_by_flow(flows.get(resolved.name), read.product) or _declared(read.reads)
            readers.append(
                Reader("product", str(resolved.name), resolved.product.owner, read.product, read.major, fields)
            )
    for outside in mesh.consumers.values():
        for read in outside.inputs:
            fields = frozenset(read.reads) or None
            readers.append(Reader("consumer", outside.name, outside.owner, read.product, read.major, fields))
    return readers


def mesh_lineage(mesh: Mesh, flows: Flows) -> Lineage:
    """The lineage of a mesh, field by field. A flow that cannot run counts by what its contract declares."""
    edges: list[Edge] = []
    for resolved in mesh.products.values():
        judged = flows.get(resolved.name)
        if judged is not None and judged.graph is not None:
            edges += field_uses(judged.graph)
        else:
            edges += _declared_edges(mesh, resolved)
    for outside in mesh.consumers.values():
        edges += [
            Edge(field(str(read.product), name), consumer(outside.name), "read")
            for read in outside.inputs
            for name in read.reads
        ]
    return Lineage(edges)


def _declared_edges(mesh: Mesh, resolved: ResolvedProduct) -> list[Edge]:
    edges = []
    for read in resolved.product.inputs:
        source = mesh.find(read.product)
        everything = tuple(one.name for one in source.output.schema.fields) if source else ()
        names = read.reads or everything
        outputs = [product(str(one.name)) for one in resolved.each]
        edges += [Edge(field(str(read.product), name), one, "filter") for one in outputs for name in names]
    return edges


def _read_by_flow(judged: JudgedFlow | None, source: ProductName) -> frozenset[str] | None:
    if judged is None or judged.graph is None:
        return None
    deciding = {edge.source.field for edge in field_uses(judged.graph) if edge.source.name == str(source)}
    return frozenset(judged.reads.get(source, frozenset()) | deciding)


def _declared(reads: tuple[str, ...]) -> frozenset[str] | None:
    """What is declared, and what is always read with it; None where nothing is declared."""
    return frozenset({*reads, *EVENT_TIMES, *FACT_TIMES, *HIDDEN}) if reads else None

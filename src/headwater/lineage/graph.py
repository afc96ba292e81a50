"""The lineage of a mesh: what a field or product is made of, what is made of it, and by which way."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TypeVar

from headwater.lineage.fields import Edge, Node
from headwater.lineage.fields import product as product_node

Key = TypeVar("Key")
PATHS_LIMIT = 100  # between two nodes: more help nobody


class Lineage:
    """Edges, and what follows from them. A value: it does not change.

    A field that decides which rows a product has is upstream of every field of that product.

    >>> from headwater.lineage.fields import consumer, field
    >>> lineage = Lineage([Edge(field("a.b", "x"), field("c.d", "y"), "value"),
    ...                    Edge(field("c.d", "y"), consumer("board"), "read")])
    >>> [node.text() for node in lineage.downstream(field("a.b", "x"))]
    ['c.d.y', 'board']
    >>> [[node.text() for node in path] for path in lineage.paths(field("a.b", "x"), consumer("board"))]
    [['a.b.x', 'c.d.y', 'board']]
    """

    def __init__(self, edges: Iterable[Edge]) -> None:
        self.edges = tuple(sorted(set(edges)))

    def downstream(self, start: Node) -> tuple[Node, ...]:
        """Everything that a field, or any field of a product, goes into; nearest first."""
        return self._walk(start, self._after)

    def upstream(self, start: Node) -> tuple[Node, ...]:
        """Everything that a field, product or consumer is made of or reads; nearest first."""
        return self._walk(start, self._before)

    def paths(self, source: Node, target: Node) -> tuple[tuple[Node, ...], ...]:
        """The ways from one node to another without a circle, shortest first; at most `PATHS_LIMIT`."""
        found: list[tuple[Node, ...]] = []
        waiting: deque[tuple[Node, ...]] = deque([(source,)])
        reaching = {target, *self.upstream(target)}
        while waiting and len(found) < PATHS_LIMIT:
            path = waiting.popleft()
            if path[-1] == target:
                found.append(path)
                continue
            for node in self._after(path[-1]):
                if node in reaching and node not in path:
                    waiting.append((*path, node))
        return tuple(found)

    def readers(self, source: Node) -> tuple[Edge, ...]:
        """The edges that leave a field, or any field of a product."""
        return self._leaving.get(source, ()) if source.field else self._leaving_product.get(source.name, ())

    def circles(self) -> tuple[Node, ...]:
        """The products that are made of themselves, by any way."""
        products = {edge.source.name for edge in self.edges}
        return tuple(
            node for node in map(product_node, sorted(products))
            if any(below.name == node.name for below in self.downstream(node))
        )  # fmt: skip

    def _walk(self, start: Node, following: Callable[[Node], Iterable[Node]]) -> tuple[Node, ...]:
        seen: dict[Node, None] = {}
        waiting = deque([start])
        while waiting:
            for node in following(waiting.popleft()):
                if node not in seen and node != start:
                    seen[node] = None
                    waiting.append(node)
        return tuple(seen)

    def _after(self, node: Node) -> Iterator[Node]:
        if node.kind != "consumer":
            yield from dict.fromkeys(edge.target for edge in self.readers(node))

    def _before(self, node: Node) -> Iterator[Node]:
        yield from dict.fromkeys(edge.source for edge in self._entering.get(node, ()))
        if node.kind == "field":  # what decides which rows there are decides this field too
            yield from dict.fromkeys(edge.source for edge in self._entering.get(product_node(node.name), ()))
        elif node.kind == "product":
            yield from dict.fromkeys(edge.source for edge in self._entering_product.get(node.name, ()))

    @cached_property
    def _leaving(self) -> Mapping[Node, tuple[Edge, ...]]:
        return _grouped(self.edges, lambda edge: edge.source)

    @cached_property
    def _leaving_product(self) -> Mapping[str, tuple[Edge, ...]]:
        return _grouped(self.edges, lambda edge: edge.source.name)

    @cached_property
    def _entering(self) -> Mapping[Node, tuple[Edge, ...]]:
        return _grouped(self.edges, lambda edge: edge.target)

    @cached_property
    def _entering_product(self) -> Mapping[str, tuple[Edge, ...]]:
        fields = [edge for edge in self.edges if edge.target.kind == "field"]
        return _grouped(fields, lambda edge: edge.target.name)


def _grouped(edges: Iterable[Edge], key: Callable[[Edge], Key]) -> Mapping[Key, tuple[Edge, ...]]:
    groups: dict[Key, list[Edge]] = defaultdict(list)
    for edge in edges:
        groups[key(edge)].append(edge)
    return {name: tuple(members) for name, members in groups.items()}

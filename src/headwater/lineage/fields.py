"""Edges between fields: which field of which product is read for what, by which product or reader outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Use = Literal["value", "group", "time", "join", "filter", "read"]
"""What a field is used for. `value`: another field is made of it. `group`, `time`, `join`, `filter`: it decides which
rows there are, over which interval, with what beside them. `read`: somebody outside the mesh reads it."""


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """A field of a product, a whole product (`field` is empty), or a reader outside the mesh (`kind` is consumer).

    >>> Node("field", "flights.departures", "origin").text()
    'flights.departures.origin'
    """

    kind: Literal["product", "field", "consumer"]
    name: str
    field: str = ""

    def text(self) -> str:
        """As people write it."""
        return f"{self.name}.{self.field}" if self.field else self.name


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """`source` is a field; `target` is a field made of it, or a product or consumer that reads it."""

    source: Node
    target: Node
    use: Use


def field(product: str, name: str) -> Node:
    """The node of a product's field."""
    return Node("field", product, name)


def product(name: str) -> Node:
    """The node of a product as a whole: which rows it has."""
    return Node("product", name)


def consumer(name: str) -> Node:
    """The node of a reader outside the mesh."""
    return Node("consumer", name)

"""The products of a mesh that the port serves, each as one reader may see it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from headwater.mesh.products import ResolvedProduct
from headwater.ports.access import Access, View
from headwater.ports.answers import TopicAnswers
from headwater.ports.feed import Feeds
from headwater.ports.http.problems import missing
from headwater.ports.index.answers import IndexAnswers
from headwater.ports.index.follower import Index
from headwater.ports.protocol import Broker
from headwater.schemas.avro import Schema
from headwater.schemas.registry import Registry

PORT, SELECTED = "http", ("http", "sql")  # who has a path, and who can be named in a SELECT


@dataclass(frozen=True, slots=True)
class Served:
    """One product, for one reader."""

    product: ResolvedProduct
    view: View
    answers: TopicAnswers | IndexAnswers
    feeds: Feeds

    @property
    def topic(self) -> str:
        """What cursors belong to."""
        return self.product.output.topic

    @property
    def schema(self) -> Schema:
        """That of the records as this reader has them."""
        return self.view.schema(self.product.output.schema)


class Products:
    """Finds products by name: those whose contract has the port `http`, and that `access` shows to who asks.

    A SELECT may name those with the port `sql` too, which have no paths of their own.

    With an index answers come from it, else from the topics, each read from its start.
    """

    def __init__(
        self,
        products: Iterable[ResolvedProduct],
        broker: Broker,
        registry: Registry,
        access: Access,
        *,
        tick: int,
        index: Index | None = None,
    ) -> None:
        self._products = {str(output.name): output for output in served_of(products)}
        self._broker, self._registry, self._access, self._tick = broker, registry, access, tick
        self._index = index

    def find(self, principal: str, name: str) -> Served:
        """One product; raises `CallerFault` HW-R030 where there is none of that name for this reader."""
        return self._found(principal, name, (PORT,))

    def selected(self, principal: str, name: str) -> Served:
        """One product that a SELECT names; raises the same."""
        return self._found(principal, name, SELECTED)

    def all(self, principal: str, ports: Collection[str] = (PORT,)) -> Iterator[Served]:
        """Those with one of these ports that this reader may see, by name."""
        for _, product in sorted(self._products.items()):
            view = self._access.view(principal, product)
            if view is not None and _has(product, ports):
                yield self._served(product, view)

    def ready(self) -> bool:
        """Whether every question can be answered: an index has taken in what there was when it began."""
        index = self._index
        if index is None:
            return True
        return all(index.ready(product.output.topic) for product in self._products.values())

    def _found(self, principal: str, name: str, ports: Collection[str]) -> Served:
        product = self._products.get(name)
        view = self._access.view(principal, product) if product is not None and _has(product, ports) else None
        if product is None or view is None:
            raise missing()
        return self._served(product, view)

    def _served(self, product: ResolvedProduct, view: View) -> Served:
        answers: TopicAnswers | IndexAnswers
        if self._index is not None:
            answers = IndexAnswers(self._index, product.output.topic, view=view)
        else:
            answers = TopicAnswers(self._broker, self._registry, product, tick=self._tick, view=view)
        return Served(product, view, answers, Feeds(self._broker, self._registry, product, view=view))


def served_of(products: Iterable[ResolvedProduct]) -> list[ResolvedProduct]:
    """Those of these products, each output by itself, whose contract has the port `http` or `sql`."""
    return [output for product in products for output in product.each if _has(output, SELECTED)]


def _has(product: ResolvedProduct, ports: Collection[str]) -> bool:
    return not {*product.output.output.ports}.isdisjoint(ports)

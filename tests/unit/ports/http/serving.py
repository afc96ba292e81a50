"""The port over a world in memory, asked in this process."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient
from tests.unit.ports.test_answers import TICK, World

from headwater.mesh.products import ResolvedProduct
from headwater.ports.access import Access, DenyClassified
from headwater.ports.http.app import HttpPort
from headwater.ports.http.cursors import Cursors
from headwater.ports.http.limits import Limits
from headwater.ports.http.served import Products, served_of
from headwater.ports.index.follower import Index
from headwater.ports.index.layout import Stores
from headwater.sdk.query import Bounds
from headwater.sdk.served_sql import served_sql

HTTP = ("topic", "http")
FREELY = Limits(rate=1e9, burst=1_000_000)


class Site:
    """One product, served. `forgetful` keeps no answers between pages, as a server does that was restarted.

    With `stores` it is served from an index in them, which takes in all that is there before each request.
    """

    def __init__(
        self,
        world: World,
        *,
        key: bytes = b"secret",
        forgetful: bool = False,
        limits: Limits = FREELY,
        access: Access | None = None,
        product: ResolvedProduct | None = None,
        stores: Stores | None = None,
    ) -> None:
        self.stores = stores
        self.world, self.key, self.forgetful, self.limits = world, key, forgetful, limits
        self.access = access or DenyClassified()
        self.product = product or world.product
        self.base = f"/v1/products/{self.product.name.domain}/{self.product.name.product}"
        self.forget()

    def forget(self) -> None:
        """Start the server anew."""
        world = self.world
        self.cursors = Cursors(self.key, world.clock)
        self.index = self._index()
        products = Products([self.product], world.broker, world.registry, self.access, tick=TICK, index=self.index)
        self.app = HttpPort(products, self.cursors, world.clock, served_sql(Bounds(seconds=30)), limits=self.limits)
        self.http = TestClient(self.app, raise_server_exceptions=False)

    def _index(self) -> Index | None:
        if self.stores is None:
            return None
        world = self.world
        served = served_of([self.product])
        return Index(served, world.broker, world.registry, self.stores, tick=TICK, clock=world.clock)

    def get(self, path: str) -> dict[str, Any]:
        return self.follow(f"{self.base}/{path}")

    def follow(self, link: str) -> dict[str, Any]:
        if self.forgetful:
            self.forget()
        while self.index is not None and self.index.step():
            pass
        answer = self.http.get(link)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

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
from headwater.ports.http.served import Products
from headwater.sdk.query import Bounds
from headwater.sdk.served_sql import served_sql

HTTP = ("topic", "http")
FREELY = Limits(rate=1e9, burst=1_000_000)


class Site:
    """One product, served. `forgetful` keeps no answers between pages, as a server does that was restarted."""

    def __init__(
        self,
        world: World,
        *,
        key: bytes = b"secret",
        forgetful: bool = False,
        limits: Limits = FREELY,
        access: Access | None = None,
        product: ResolvedProduct | None = None,
    ) -> None:
        self.world, self.key, self.forgetful, self.limits = world, key, forgetful, limits
        self.access = access or DenyClassified()
        self.product = product or world.product
        self.base = f"/v1/products/{self.product.name.domain}/{self.product.name.product}"
        self.forget()

    def forget(self) -> None:
        """Start the server anew."""
        world = self.world
        self.cursors = Cursors(self.key, world.clock)
        products = Products([self.product], world.broker, world.registry, self.access, tick=TICK)
        self.app = HttpPort(products, self.cursors, world.clock, served_sql(Bounds(seconds=30)), limits=self.limits)
        self.http = TestClient(self.app, raise_server_exceptions=False)

    def get(self, path: str) -> dict[str, Any]:
        return self.follow(f"{self.base}/{path}")

    def follow(self, link: str) -> dict[str, Any]:
        if self.forgetful:
            self.forget()
        answer = self.http.get(link)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

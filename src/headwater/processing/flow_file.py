"""`flow.py` of a product, executed: the only place that does so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.errors import Finding
from headwater.naming import ProductName
from headwater.processing.steps import Plan

if TYPE_CHECKING:
    from headwater.mesh.products import Mesh


def load_plan(mesh: Mesh, product: ProductName) -> Plan:
    """The plan of a derived product: flow loaded, validated, compiled. Raises `InvalidFiles` with all findings."""
    raise NotImplementedError


def check_flow(mesh: Mesh, product: ProductName) -> list[Finding]:
    """What is wrong with a derived product's flow, at its place; empty if nothing is. Executes `flow.py`, runs nothing."""
    raise NotImplementedError

"""What the runner that a contract names cannot do, said before anything runs: by `check`, by `plan`."""

from __future__ import annotations

from collections.abc import Mapping

from headwater.contracts.load import PRODUCT_FILE, Contract, contract_bytes, read_product
from headwater.contracts.product import Product
from headwater.errors import Finding, HeadwaterError
from headwater.mesh.products import ResolvedProduct
from headwater.processing.graph import Graph

_WAY_OUT = "write another runner, or take it out"


def runner_refusals(product: ResolvedProduct, graph: Graph) -> list[Finding]:
    """Why the runner of a product's contract cannot run this flow, each at its place in the flow or the contract.

    The kafka runner runs all that compiles, and so does faust; Flink takes what its SQL says as the engine does.
    """
    if product.product.runner != "flink":
        return []
    # Not at the top: a mesh that has nothing on Flink does not wait for its compiler.
    from headwater.processing.runners import flink

    return [*flink.refusals(graph), *_port_refusals(product)]


def cluster_refusals(product: ResolvedProduct, kafka: Mapping[str, str]) -> list[Finding]:
    """Why the runner of a product's contract cannot reach a cluster with these client settings: at the contract."""
    from headwater.processing.runners.faust_cluster import require_reached
    from headwater.processing.runners.flink_client import java_settings

    runner = product.product.runner
    try:
        if runner == "faust":
            require_reached(kafka)
        elif runner == "flink":
            java_settings(kafka)
    except HeadwaterError as error:
        found = _contract(product).finding(error.code, "runner", error.message, why=error.detail, fix=error.hint)
        return [found]
    return []


def _port_refusals(product: ResolvedProduct) -> list[Finding]:
    if "current" not in product.output.output.ports:
        return []
    path = f"outputs[0].ports[{product.output.output.ports.index('current')}]"
    message = "the flink runner does not take the port 'current'"
    why = "a record and its newest value are written in one transaction, and a Flink job writes one topic"
    return [_contract(product).finding("HW-P240", path, message, why=why, fix=_WAY_OUT)]


def _contract(product: ResolvedProduct) -> Contract[Product]:
    """The contract with its places, which a loaded mesh has no more."""
    folder = product.product.folder
    file = f"{folder}/{PRODUCT_FILE}"
    return read_product(contract_bytes(product.folder / PRODUCT_FILE, file), file=file, folder=folder)

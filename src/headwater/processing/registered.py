"""What a runner needs of the registry for the products that it writes: it registers nothing itself."""

from __future__ import annotations

from headwater.errors import CallerFault
from headwater.mesh.products import ResolvedProduct
from headwater.schemas.registry import RegisteredSchema, Registry


def require_registered(registry: Registry, product: ResolvedProduct) -> RegisteredSchema:
    """The schema of a product's output as the registry has it; raises `CallerFault` HW-P021 where it has not."""
    output = product.output
    registered = registry.find(output.subject, output.schema)
    if registered is None:
        raise CallerFault(
            f"the schema of {product.name} is not registered under {output.subject}",
            code="HW-P021",
            detail="a runner registers nothing",
            hint="headwater apply",
        )
    return registered

"""A reader outside the mesh, as its file in `consumers/` declares it: who reads what, so that a change can ask them."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.contracts.product import Input, Owner


@dataclass(frozen=True, slots=True)
class Consumer:
    """Who reads which fields of which products. `file` is relative to the mesh, with `/`."""

    name: str
    owner: Owner
    purpose: str
    inputs: tuple[Input, ...]
    file: str

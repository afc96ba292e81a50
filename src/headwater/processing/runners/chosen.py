"""Which runner a product is run by: its contract names one, and who starts a runner may name another."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from headwater import naming
from headwater.contracts.product import RUNNER_DEFAULT, RUNNERS, Runner
from headwater.errors import CallerFault
from headwater.mesh.products import Mesh


@dataclass(frozen=True, slots=True)
class Chosen:
    """What one `headwater run` runs. `passed` are the derived products that it leaves to other runners, and `against`
    those that it runs though their contracts name another one.
    """

    runner: Runner
    products: tuple[str, ...]
    passed: tuple[tuple[str, Runner], ...] = ()
    against: tuple[tuple[str, Runner], ...] = ()

    def told(self) -> list[str]:
        """What a person has to know of it, a line each."""
        lines = [f"{name}: its contract names {runner}; on {self.runner} now" for name, runner in self.against]
        for runner in RUNNERS:
            names = [name for name, others in self.passed if others == runner]
            if names:
                lines.append(
                    f"passed over: {', '.join(names)}; headwater run --runner {runner} runs what is {runner}'s"
                )
        return lines


def choose(mesh: Mesh, named: Sequence[str], runner: Runner | None) -> Chosen:
    """The runner and the products of a command that names these products, or none, and this runner, or none.

    Without names: all products of the runner. With names: these, on the runner that is named, else on that of their
    contracts. Raises `CallerFault` HW-P281 where no product is the runner's, HW-P282 where products that are named
    without a runner have several, HW-P025 where the mesh has no derived product.
    """
    products = [mesh.whole(name) for name in named] or [one for one in mesh.in_order() if one.product.inputs]
    if not products:
        raise CallerFault("the mesh has no derived products", code="HW-P025", hint="put one under streams/")
    theirs = [(str(one.name), one.product.runner) for one in products]
    if named:
        return _of_names(theirs, runner)
    mine = runner or RUNNER_DEFAULT
    chosen = tuple(name for name, own in theirs if own == mine)
    if not chosen:
        raise CallerFault(
            f"no product's contract names the runner {mine}",
            code="HW-P281",
            detail="; ".join(f"{name}: {own}" for name, own in theirs),
            hint=f"write runner: {mine} into a contract; or name the product: headwater run {theirs[0][0]}"
            + (f" --runner {runner}" if runner else ""),
        )
    return Chosen(mine, chosen, passed=tuple((name, own) for name, own in theirs if own != mine))


def holder(topic: str, groups: Collection[str], busy: Collection[str]) -> Runner | None:
    """The runner that has a product now, as the groups tell that have members; None where none of them does.

    `topic` and `groups` are the product's and those of its stages. A Flink job is in no group.

    >>> holder("a.b.v1", ["a.b.v1.fold"], {"a.b.v1.fold", "others"})
    'kafka'
    """
    if not set(groups).isdisjoint(busy):
        return "kafka"
    if any(topic in naming.products_on_faust(group) for group in busy):
        return "faust"
    return None


def _of_names(theirs: Sequence[tuple[str, Runner]], runner: Runner | None) -> Chosen:
    names = tuple(name for name, _ in theirs)
    if runner is not None:
        return Chosen(runner, names, against=tuple((name, own) for name, own in theirs if own != runner))
    runners = {own for _, own in theirs}
    if len(runners) > 1:
        each = [" ".join(name for name, own in theirs if own == one) for one in RUNNERS if one in runners]
        raise CallerFault(
            "these products have different runners, and one command is one runner",
            code="HW-P282",
            detail="; ".join(f"{name}: {own}" for name, own in theirs),
            hint=f"a command for each: {'; '.join(f'headwater run {some}' for some in each)}",
        )
    return Chosen(runners.pop(), names)

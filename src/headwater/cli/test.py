"""`headwater test`: are the examples beside a product true, in whatever order records arrive."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.processing.examples import Failure, Judged

ORDERS_DEFAULT = 20  # some tenths of a second for an example; a fault of order shows in far fewer


def command(
    product: Annotated[
        str, typer.Argument(metavar="[PRODUCT]", help="Its name; left out, all products that have examples.")
    ] = "",
    example: Annotated[str, typer.Option("--example", help="Only the example of this name.")] = "",
    orders: Annotated[
        int, typer.Option("--orders", min=0, max=10_000, help="Other orders of arrival to try for each example.")
    ] = ORDERS_DEFAULT,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The first order's; each further one counts on.")] = 1,
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print the result.")] = "text",
) -> None:
    """Run the examples in tests.yaml beside a product: its flow in this process, with no network and no clock.

    Each example is run as it is given, then in other orders of arrival (late, repeated, mistaken first and corrected),
    which must end in the same. Exits with 1 where an expectation is not met.
    """
    from headwater.cli import console

    judged = _judged(product, example, orders, seed)
    failed = [one for one in judged if one.failures]
    for one in judged:
        if output == "json":
            console.print_json_line(_as_json(one))
        else:
            _print(one)
    told = f"{len(judged):,} example{'' if len(judged) == 1 else 's'}, {len(failed):,} failed"
    console.err().print(f"{told}; {sum(one.orders for one in judged):,} other orders of arrival", markup=False)
    if failed:
        raise typer.Exit(1)


def _judged(name: str, wanted: str, orders: int, seed: int) -> list[Judged]:
    from headwater.contracts.examples import EXAMPLES_FILE
    from headwater.contracts.shape import nearest
    from headwater.errors import CallerFault
    from headwater.mesh.load import load_mesh
    from headwater.processing.examples import ProductExamples
    from headwater.settings import load_settings

    mesh = load_mesh(load_settings().mesh_folder)
    if name:
        products = [mesh.whole(name)]
    else:
        products = [one for one in mesh.in_order() if one.product.inputs and (one.folder / EXAMPLES_FILE).is_file()]
    judged, names = [], []
    for product in products:
        examples = ProductExamples(mesh, product)
        for example in examples.file.require():
            names.append(example.name)
            if wanted in ("", example.name):
                judged.append(examples.judge(example, orders=orders, seed=seed))
    if wanted and not judged:
        near = nearest(wanted, tuple(names))
        raise CallerFault(
            f"there is no example '{wanted[:60]}'",
            code="HW-K100",
            detail=f"{name or 'the mesh'} has {', '.join(names) or 'none'}"[:600],
            hint=f"write --example '{near}'" if near else "name one of those, or leave --example out",
        )
    return judged


def _print(judged: Judged) -> None:
    from headwater.cli import console

    console.out(f"{'FAILED' if judged.failures else 'ok'}  {judged.product}: {judged.name}")
    for failure in judged.failures:
        place = failure.place
        console.out(f"  {place.file}:{place.line}:{place.column} {place.message} [{place.code}]")
        for line in _side_by_side(failure):
            console.out(f"    {line}")
        if failure.seed is not None:
            console.out(f"    arrived: {', '.join(failure.arrived)}")
            console.out(f"    again: {_again(judged, failure.seed)}")


def _side_by_side(failure: Failure) -> list[str]:
    """What was expected on the left, what was found on the right; rows of both sides are not shown again."""
    left = [_row(one) for one in failure.expected]
    right = [_row(one) for one in failure.found]
    width = max([len("expected"), *map(len, left)])
    lines = [f"{'expected':{width}} | found"]
    lines += [f"{one or '(no such row)':{width}} | {two or '(no such row)'}" for one, two in zip_longest(left, right)]
    if failure.agreeing:
        lines.append(f"{failure.agreeing:,} more row{'' if failure.agreeing == 1 else 's'} as expected")
    return lines


def _row(fields: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={'-' if value is None else value}" for name, value in fields.items())


def _again(judged: Judged, seed: int) -> str:
    import shlex

    return f"headwater test {judged.product} --example {shlex.quote(judged.name)} --orders 1 --seed {seed}"


def _as_json(judged: Judged) -> dict[str, object]:
    return {
        "product": judged.product,
        "example": judged.name,
        "ok": not judged.failures,
        "orders": judged.orders,
        "failures": [
            {
                **failure.place.as_json(),
                "expected": [dict(row) for row in failure.expected],
                "found": [dict(row) for row in failure.found],
                "agreeing": failure.agreeing,
                "seed": failure.seed,
                "arrived": list(failure.arrived),
                "again": None if failure.seed is None else _again(judged, failure.seed),
            }
            for failure in judged.failures
        ],
    }

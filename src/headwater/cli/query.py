"""`headwater query`: what a product says, or what a SELECT over products finds, as of a valid and a recorded moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from headwater.mesh.products import ResolvedProduct
    from headwater.sdk.table import Table
    from headwater.timeline.instant import Instant


def command(
    asked: Annotated[
        str, typer.Argument(metavar="PRODUCT|SELECT", help="A product's name, or one SELECT over products.")
    ],
    valid: Annotated[str | None, typer.Option("--valid", help="True when; ISO 8601 with a zone.")] = None,
    recorded: Annotated[str | None, typer.Option("--recorded", help="As known when; left out, now.")] = None,
    key: Annotated[list[str] | None, typer.Option("--key", help="A key field and its value, as origin=JFK.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Every record as it was published instead.")] = False,
    wait: Annotated[float, typer.Option("--wait", min=0, max=3600, help="Wait so long to be settled, seconds.")] = 0.0,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows of a SELECT at most.")] = 10_000,
    seconds: Annotated[float, typer.Option("--seconds", min=1, max=3600, help="A SELECT is stopped then.")] = 60.0,
    port: Annotated[
        Literal["topic", "lake"], typer.Option("--port", help="Where to read: the topic, or the table in the lake.")
    ] = "topic",
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print a record.")] = "text",
) -> None:
    """Say what is true in a product at a moment, as it was known at a moment; or what a SELECT finds in products.

    One record a line; JSON is one object a line. Whether the answer is settled goes to stderr: a settled answer is the
    same for ever, one that is not may still change when records arrive.

    In a SELECT a product's name is the product as of the two moments; as_of('name', recorded => '…') is it as of
    others, and history('name') every record of it.
    """
    from headwater.cli import console, query_sql
    from headwater.schemas.payload import writer
    from headwater.sdk.open import open as open_product

    if any(sign.isspace() for sign in asked.strip()):
        query_sql.show(
            asked,
            valid,
            recorded,
            key=key,
            history=history,
            limit=limit,
            seconds=seconds,
            wait=wait,
            port=port,
            output=output,
        )
        return
    with open_product(asked, port=port) as opened:
        moment, asked_key = _moment(recorded), _key(opened.product, key or [])

        def ask() -> Table:
            if history:
                return opened.history(asked_key, recorded=moment)
            return opened.as_of(valid=valid, recorded=moment, key=asked_key)

        answer = query_sql.until_settled(ask, wait)
        convert = writer(opened.schema)
        for row in answer.rows:
            console.record(convert(row), output)
    console.err().print(answer.firmness(), markup=False)


def _moment(text: str | None) -> Instant | None:
    from headwater.timeline.instant import Instant

    return None if text is None else Instant.parse(text)


def _key(product: ResolvedProduct, parts: list[str]) -> dict[str, object] | None:
    """The values of the key fields; numbers and booleans by the fields' types."""
    import json

    from headwater.errors import CallerFault

    if not parts:
        return None
    names = product.output.output.key
    values = dict(part.partition("=")[::2] for part in parts)
    unknown = [name for name in values if name not in names]
    if unknown or len(values) != len(names):
        raise CallerFault(
            f"a key of {product.name} is {', '.join(names)}",
            code="HW-K061",
            detail=f"it has no {unknown[0]}" if unknown else "a key is asked for whole",
            hint=" ".join(f"--key {name}=…" for name in names),
        )
    found: dict[str, object] = {}
    for field in product.output.schema.fields:
        if field.name in values:
            text = values[field.name]
            try:
                found[field.name] = json.loads(text) if field.type.kind in ("int", "long", "boolean") else text
            except ValueError:
                raise CallerFault(
                    f"'{text[:40]}' is no {field.type.kind}, which {field.name} of {product.name} is",
                    code="HW-K062",
                    detail="a key is compared exactly",
                    hint=f"--key {field.name}=<{field.type.kind}>",
                ) from None
    return found

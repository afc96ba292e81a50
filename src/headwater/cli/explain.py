"""`headwater explain`: what a code means, why it matters, how to mend it."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


def command(
    code: Annotated[str | None, typer.Argument(help="The code of an error or a finding, such as HW-S102.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="Print every code with what it says.")] = False,
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print.")] = "text",
) -> None:
    """Explain the code of an error or a finding: what it says, why it matters, how to mend it, an example."""
    from dataclasses import asdict
    from difflib import get_close_matches

    from headwater.cli import console
    from headwater.errors import CallerFault
    from headwater.explanations.catalogue import explain, explanations

    if listed or code is None:
        for known in explanations().values():
            if output == "json":
                console.print_json_line({**asdict(known), "docs": known.page})
            else:
                console.out(f"{known.code}  {known.says}")
        return
    found = explain(code)
    if found is None:
        near = get_close_matches(f"HW-{code.upper().removeprefix('HW-')}", explanations(), n=3)
        raise CallerFault(
            f"there is no code '{code[:40]}'",
            code="HW-K050",
            detail=f"near it are {', '.join(near)}" if near else "",
            hint="headwater explain --list",
        )
    if output == "json":
        console.print_json_line({**asdict(found), "docs": found.page})
    else:
        for line in found.text().splitlines():  # the example stands as it is
            console.out(line if line.startswith(" ") else console.folded([line]))

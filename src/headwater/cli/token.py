"""`headwater token`: a new bearer token for a principal, and the line that a server's file has of it."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    principal: Annotated[str, typer.Argument(help="Who it is for, as svc.board.")],
) -> None:
    """Draw a token for `headwater serve --tokens FILE`. It is printed once and kept nowhere.

    The token goes to stdout, and the line for the file, which holds its hash only, to stderr.
    """
    import secrets

    from headwater.cli import console
    from headwater.errors import CallerFault
    from headwater.ports.http.bearer import hashed

    if not principal or len(principal) > 200 or not principal.isprintable() or any(one.isspace() for one in principal):
        raise CallerFault(
            "a principal's name has no blanks, and up to 200 signs",
            code="HW-K075",
            detail="it stands in a line of the file of tokens",
            hint="svc.<domain>.<application>, or whatever the rules of access call it",
        )
    token = secrets.token_urlsafe(32)
    console.out(token)
    console.err().print(f"{hashed(token)} {principal}", markup=False)

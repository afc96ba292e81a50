"""`headwater down`: everything that `up` and `demo` started, stopped."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove the data folder too: topics, databases, state, logs.")
    ] = False,
) -> None:
    """Stop the local stack: relays and runners first, then the registry, PostgreSQL and Kafka; and nothing else.

    Data stays, and `headwater up` goes on with it. With --purge it is removed for good; the cache of jars is kept.
    """
    from headwater.cli import console
    from headwater.local.launch import stop_stack
    from headwater.local.stack import local_stack
    from headwater.settings import load_settings

    stack = local_stack(load_settings())
    stopped = stop_stack(stack, phases=console.phase, purge=purge)
    console.out("stopped: " + ", ".join(stopped) if stopped else f"nothing was running, by {stack.data_folder}")
    if purge:
        console.out(f"removed {stack.data_folder}")

"""`headwater runner flink watch`: metrics of live jobs, and the alarm when one fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from headwater.hooks import Listener


def add_to(app: typer.Typer) -> None:
    """Make the command part of a group."""
    app.command()(watch)


def watch(
    products: Annotated[list[str], typer.Argument(metavar="PRODUCT...", help="Derived products with a live job.")],
    metrics_port: Annotated[
        int, typer.Option("--metrics-port", min=0, max=65000, help="Serve Prometheus metrics on loopback; 0: do not.")
    ] = 0,
    every_seconds: Annotated[
        int, typer.Option("--every-seconds", min=1, max=300, help="How often the clusters are asked.")
    ] = 5,
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Deploy a job that failed again, where it was: it computes from the first record."
        ),
    ] = False,
    until_failed: Annotated[
        bool, typer.Option("--until-failed", help="End with the reason as soon as a job is not at work.")
    ] = False,
) -> None:
    """Watch live jobs until SIGTERM or Ctrl-C: whether they run, their rows, lag and checkpoints, under the names
    that all runners have; and say why one failed.

    It asks the clusters that the jobs run on, from any machine that reaches them, and goes on when a job has failed.
    """
    from headwater.cli import console
    from headwater.cli.runner_flink import run_of
    from headwater.hooks import Hooks
    from headwater.local.flink_live import LiveJob
    from headwater.local.flink_watch import Watch, keep_watch
    from headwater.observability.prometheus import PrometheusListener
    from headwater.stopping import Stopping
    from headwater.timeline.clock import SystemClock

    clock, metrics, progress = SystemClock(), PrometheusListener(), console.err()
    hooks = Hooks([_said(lambda text: progress.print(text, markup=False)), metrics])
    if metrics_port:
        metrics.serve(metrics_port)
    watches = [Watch(one, LiveJob(run_of(one)), hooks, clock, again=again) for one in dict.fromkeys(products)]
    stopping = Stopping().on_signals()
    progress.print(f"watching {', '.join(products)}; SIGTERM or Ctrl-C stops", markup=False)
    keep_watch(watches, clock, seconds=every_seconds, stopped=stopping.is_set, until_failed=until_failed)


def _said(say: Callable[[str], None]) -> Listener:
    """Says each change once."""
    known: dict[object, object] = {}

    def listen(happening: str, fields: dict[str, object]) -> None:
        product = fields.get("product")
        if happening == "product.failed":
            say(f"{fields['reason']}\nfix: {fields['hint']}\n[{fields['code']}]")
        elif happening == "flink.deployed":
            say(f"{product}: deployed again, from the first record on")
        elif happening == "flink.seen":
            now = "is stopped" if fields["stopped"] else "runs" if fields["running"] else "does not run"
            if known.get(product) != now:
                known[product] = now
                say(f"{product}: {now}")
            if fields["lost"]:
                say(f"{product}: {fields['lost']} transactions were ended before their commit; their records are lost")

    return listen

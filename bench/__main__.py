"""`python -m bench`: run workloads, print the table, write the results."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
import time
from pathlib import Path
from typing import Any

from bench import w9
from bench.machine import pin_self, pinnable, spread
from bench.plan import SIZES, Selection, chosen
from bench.report import REFUSED, save, table
from bench.run import run
from bench.stack import ROOT

EVIDENCE = ROOT / "docs" / "evidence"


def main() -> int:
    """Exit 0 where every output was right, or refused beforehand, 1 where one was not, 2 where the call is wrong."""
    arguments = _parser().parse_args()
    if arguments.only == "W9":  # needs no stack
        full = arguments.size == "full"
        out = Path(arguments.out) if arguments.out else EVIDENCE / "bench-W9.json" if full else None
        return w9.run(1_000 if full else 200, arguments.rounds or (6 if full else 2), out)
    try:
        workloads = chosen(arguments.only)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    size = SIZES[arguments.size]
    if arguments.rounds:
        size = dataclasses.replace(size, rounds=arguments.rounds, discarded=min(size.discarded, arguments.rounds - 1))
    if arguments.events:
        size = dataclasses.replace(size, rows=arguments.events, events=arguments.events)
    if arguments.latency_seconds:
        size = dataclasses.replace(size, latency_seconds=arguments.latency_seconds)
    systems = tuple(name for name in arguments.systems.split(",") if name)
    if arguments.unpinned:
        spread()
    elif not pinnable():
        sys.stderr.write("this machine has one core: broker and system share it, and figures say little\n")
    pin_self()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the stack is stopped on the way out
    started = time.monotonic()

    def tell(text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - started:7.1f} s  {text}\n")

    out = arguments.out or (str(EVIDENCE / f"bench-{arguments.only or 'all'}.json") if arguments.size == "full" else "")

    def keep(so_far: list[dict[str, Any]]) -> None:
        if out:
            save(Path(out), so_far)

    entries = run(Selection(workloads, systems), size, tell, keep)
    if out:
        tell(f"results in {out}")
    print(table(entries))
    return 0 if all(one["verified"] or one["fault"].startswith(REFUSED) for one in entries) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only",
        default="",
        help="W1 to W10, W2 (W2a and W2b), one of a family, as W2c; several with commas; default: W1 and W2",
    )
    parser.add_argument("--size", choices=sorted(SIZES), default="small", help="small for a look, full for figures")
    parser.add_argument("--out", default="", help="where to write the results (full: docs/evidence/ by default)")
    parser.add_argument("--systems", default="", help="names, separated by commas; default: all at their best settings")
    parser.add_argument("--rounds", type=int, default=0, help="in place of the size's own number")
    parser.add_argument("--events", type=int, default=0, help="orders or rows, in place of the size's own number")
    parser.add_argument("--latency-seconds", type=float, default=0, help="of each load whose latency is measured")
    parser.add_argument("--unpinned", action="store_true", help="let all processes share all cores: for latency alone")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m bench.chaos`: run the registered chaos programs and print what their checkers found.

A program is a function in `tests/chaos/`, named here, that kills real processes while seeded work goes on. It answers
`{"id", "trials", "lost", "duplicates", "phantom", "order_breaks", "passed", "seed"}`; more keys are kept. The same
seed gives the same kills.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.report import save

Program = Callable[..., dict[str, Any]]

# id: module and function, called as run(trials=..., seed=...)
PROGRAMS = {
    "R1": "tests.chaos.r1:run",
    "R2": "tests.chaos.r2:run",
    "R3": "tests.chaos.r3:run",
    "R5": "tests.chaos.r5:run",
    "R6": "tests.chaos.r6:run",
    "R7": "tests.chaos.r7:run",
    "R8": "tests.chaos.r8:run",
    "R9": "tests.chaos.r9:run",
    "R11": "tests.chaos.r11:run",
    "H1": "tests.chaos.h1:run",
    "K1": "tests.chaos.k1:run",
    "K2": "tests.chaos.k2:run",
    "K3": "tests.chaos.k3:run",
    "L1": "tests.chaos.l1:run",
    "L2": "tests.chaos.l2:run",
    "L3": "tests.chaos.l3:run",
    "L4": "tests.chaos.l4:run",
    "L5": "tests.chaos.l5:run",
    "L6": "tests.chaos.l6:run",
    "L7": "tests.chaos.l7:run",
    "P1": "tests.chaos.p1:run",
    "P2": "tests.chaos.p2:run",
    "P3": "tests.chaos.p3:run",
    "P4": "tests.chaos.p4:run",
    "P5": "tests.chaos.p5:run",
    "P6": "tests.chaos.p6:run",
    "P7": "tests.chaos.r7_relay:run_eaten",
    "P7R": "tests.chaos.p7:run",
    "P8R": "tests.chaos.p8:run",
    "S4": "tests.chaos.s4:run",
    "S6": "tests.chaos.s6:run",
    "S7": "tests.chaos.s7:run",
    "T1": "tests.chaos.t1:run",
    "T2": "tests.chaos.t2:run",
    "T3": "tests.chaos.t3:run",
    "T4": "tests.chaos.t4:run",
    "T5": "tests.chaos.t5:run",
}
TRIALS_LONG = {
    "R1": 300,
    "R2": 50,
    "R3": 40,
    "R5": 500,
    "R6": 50,
    "R7": 200,
    "R8": 10,
    "R9": 100,
    "R11": 60,
    "H1": 100,
    "K1": 20,
    "K2": 10,
    "K3": 24,
    "L1": 200,
    "L2": 50,
    "L3": 20,
    "L4": 20,
    "L5": 50,
    "L6": 100,
    "L7": 5,
    "P1": 300,
    "P2": 50,
    "P3": 250,
    "P4": 100,
    "P5": 40,
    "P6": 20,
    "P7": 20,
    "P7R": 200,
    "P8R": 10,
    "S4": 500,
    "S6": 500,
    "S7": 10,
    "T1": 200,
    "T2": 60,
    "T3": 50,
    "T4": 40,
    "T5": 10,
}  # for figures: docs/evidence/README.md
COUNTS = ("trials", "lost", "duplicates", "phantom", "order_breaks")
TRIALS_DEFAULT = 5
SEED_DEFAULT = 1
BROKE_OFF_CHARS = 500


def main() -> int:
    """Exit 0 where every program passed, 1 where one did not, 2 where the call is wrong."""
    arguments = _parser().parse_args()
    wanted = [name for name in arguments.only.split(",") if name] or sorted(PROGRAMS)
    unknown = [name for name in wanted if name not in PROGRAMS]
    if unknown:
        sys.stderr.write(f"there is no chaos program {', '.join(unknown)}; there are {', '.join(sorted(PROGRAMS))}\n")
        return 2
    results = []
    for name in wanted:
        trials = TRIALS_LONG[name] if arguments.trials == "long" else int(arguments.trials)
        for part, seed in parts(trials, arguments.each, arguments.seed):
            sys.stderr.write(f"{name}: {part} trials with seed {seed}\n")
            results.append(judged(name, part, seed))
            if arguments.out:
                save(Path(arguments.out), results)  # after each: a long run that breaks off leaves what it has
    print(table(results))
    return 0 if all(result["passed"] for result in results) else 1


def parts(trials: int, each: int, seed: int) -> list[tuple[int, int]]:
    """The runs that so many trials are made of, as (trials, seed): at most `each` in one, 0 for all at once.

    Every run has a stack of its own and its own verdict, so that one which is lost takes no other with it.

    >>> parts(120, 50, 7)
    [(50, 7), (50, 8), (20, 9)]
    """
    size = each or trials
    return [(min(size, trials - begin), seed + number) for number, begin in enumerate(range(0, trials, size))]


def judged(name: str, trials: int, seed: int) -> dict[str, Any]:
    """What the checkers say of one run; of one that broke off before they could, that none of its trials counts."""
    try:
        return program(PROGRAMS[name])(trials=trials, seed=seed)
    except Exception as error:
        traceback.print_exc()
        unjudged = {"id": name, **dict.fromkeys(COUNTS, 0), "seed": seed, "passed": False}
        return {**unjudged, "trials_begun": trials, "broke_off": f"{type(error).__name__}: {error}"[:BROKE_OFF_CHARS]}


def program(place: str) -> Program:
    """The function that a place names."""
    module, _, function = place.partition(":")
    found: Program = getattr(importlib.import_module(module), function)
    return found


def table(results: list[dict[str, Any]]) -> str:
    """The results as text.

    >>> print(table([dict(id="R1", trials=3, lost=0, duplicates=1, phantom=0, order_breaks=0, passed=False, seed=7)]))
    id  trials  lost  duplicates  phantom  order_breaks  seed  passed
    R1  3       0     1           0        0             7     NO
    """
    head = ["id", *COUNTS, "seed", "passed"]
    rows = [head]
    for result in results:
        counts = [str(result[name]) for name in COUNTS]
        rows.append([str(result["id"]), *counts, str(result["seed"]), "yes" if result["passed"] else "NO"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _trials(text: str) -> str:
    if text != "long" and not (text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError("a number, or long")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description="chaos programs and their checkers")
    parser.add_argument("--only", default="", help=f"ids, separated by commas; there are {', '.join(sorted(PROGRAMS))}")
    parser.add_argument("--out", default="", help="where to write the results as JSON")
    parser.add_argument(
        "--trials", type=_trials, default=str(TRIALS_DEFAULT), help="how many; or `long`: as many as figures need"
    )
    parser.add_argument("--each", type=int, default=0, help="trials of one run at most; each run has its own seed")
    parser.add_argument("--seed", type=int, default=SEED_DEFAULT, help="of the work and of the moments of the kills")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())

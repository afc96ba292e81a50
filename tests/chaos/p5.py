"""P5: what a runner keeps on its disk is removed, truncated, flipped in some bits, or set back to an older copy.

`run(trials=40, seed=1)`: so many times a runner is killed under steady work and its state hurt, each way in turn, while
the broker compacts the changelogs as soon as it can. After each start the products move on; at the end every version of
every fact is held against the input, and every store against its changelog and the inputs that it remembers.
"""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import Any

from tests.chaos import kept, t4
from tests.chaos.counted import counted
from tests.chaos.processors import DERIVED, Processors, answer, judged, processors

from headwater.local.stack import LocalStack

WAYS = ("older copy put back", "removed", "truncated", "bits flipped")
FLIPS = 20
WORKS_SECONDS = 1.0


def run(*, trials: int = 8, seed: int = 1, stack: LocalStack | None = None, saboteur: str = "") -> dict[str, Any]:
    """Hurt the state so many times. The saboteur `contented` takes its store for whole, whatever position it has;
    `forgetting` remembers less of its inputs than they say.
    """
    with processors(stack, seed, saboteur) as made:
        return _result(made, trials)


def _result(made: Processors, trials: int) -> dict[str, Any]:
    started, chance = time.monotonic(), random.Random(made.seed)
    state, copies = made.folder / "state" / "state", made.folder / "copies"
    stages, kafka = made.stages(), made.stack.kafka_address
    t4.compact(made)
    did: list[str] = []
    back: list[bool] = []
    with made.feeder.feeding():
        runner = made.worker()
        back.append(_moved(made))
        runner.kill()
        runner.wait()
        _copy(stages, state, copies)
        runner = made.worker()
        back.append(_moved(made))
        for trial in counted("P5", trials):
            time.sleep(chance.uniform(0.0, WORKS_SECONDS))
            runner.kill()
            runner.wait()
            did.append(hurt(WAYS[trial % len(WAYS)], stages, state, copies, chance))
            runner = made.worker()
            back.append(_moved(made))
    made.wait_settled(*DERIVED)
    code = made.stop(runner)  # type: ignore[arg-type]
    counts = judged(made)
    counts["stale_state"] = sum(kept.stale(kafka, stage, state) for stage in stages)
    return answer(
        "P5", made, counts, trials=trials,
        asked={"always_moved_on": all(back), "runner_ends_well": code == 0},
        ways={way: did.count(way) for way in WAYS},
        rebuilt_after_a_doubt=made.log.read_text(errors="replace").count("[HW-P031]"),
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def hurt(way: str, stages: list[kept.Stage], state: Path, copies: Path, chance: random.Random) -> str:
    """Hurt the store of every stage in one way."""
    for stage in stages:
        for folder in kept.folders(state, stage):
            if way == "removed":
                shutil.rmtree(folder)
            elif way == "truncated":
                file = chance.choice(_files(folder))
                file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
            elif way == "bits flipped":
                _flip(chance.choice(_files(folder)), chance)
            else:
                shutil.rmtree(folder)
                shutil.copytree(copies / stage.group / folder.name, folder)
    return way


def _copy(stages: list[kept.Stage], state: Path, copies: Path) -> None:
    for stage in stages:
        for folder in kept.folders(state, stage):
            shutil.copytree(folder, copies / stage.group / folder.name)


def _files(folder: Path) -> list[Path]:
    """What holds entries, or says which files do; an empty one cannot be hurt."""
    telling = [path for path in sorted(folder.iterdir()) if path.suffix in {".sst", ".log"} or "MANIFEST" in path.name]
    return [path for path in telling if path.stat().st_size] or [folder / "CURRENT"]


def _flip(file: Path, chance: random.Random) -> None:
    data = bytearray(file.read_bytes())
    for _ in range(FLIPS):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(bytes(data))


def _moved(made: Processors) -> bool:
    return made.moved(max(made.settled(name) for name in DERIVED))

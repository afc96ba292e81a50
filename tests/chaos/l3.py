"""L3: the topic is made anew, or comes back shorter; the writer must stop loudly, and drop nothing silently.

`run(trials=4, seed=1)`: by turns a topic with another identity (HW-I002) and one that lost its end (HW-I003).
"""

from __future__ import annotations

import time
from typing import Any

from tests.chaos import lakes
from tests.chaos.counted import counted
from tests.chaos.lakes import Life


def run(*, trials: int = 2, seed: int = 1, saboteur: str = "") -> dict[str, Any]:
    """The saboteur `lying` tells topics by their names."""
    started, loud, counts = time.monotonic(), 0, dict[str, int]()
    for trial in counted("L3", trials):
        with lakes.shore() as folder:
            lying = saboteur == "lying"
            assert lakes.end(lakes.start(Life(folder, seed, 100, lying=lying))) == 0
            made_anew = trial % 2 == 0
            again = Life(folder, seed, 200 if made_anew else 30, anew=made_anew, lying=lying)
            wanted = "HW-I002" if made_anew else "HW-I003"
            loud += lakes.end(lakes.start(again)) == lakes.STOPPED and lakes.stopped_by(folder) == wanted
            counts = lakes.judge(folder, seed, 100)
    return lakes.answer(
        "L3", seed, trials, counts, {"loud": loud == trials}, loud=loud, seconds=round(time.monotonic() - started, 1)
    )

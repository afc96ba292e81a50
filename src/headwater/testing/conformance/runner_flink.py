"""The flink runner on trial: `headwater run --runner flink`, one job after another, killed and started again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from headwater.naming import ProductName
from headwater.processing.flow_file import load_flow
from headwater.processing.runners.refused import runner_refusals
from headwater.testing.conformance.runner_processes import RunnerProcess
from headwater.testing.conformance.runner_trial import Running, Scene

REFUSED = frozenset(
    {
        *("FACT_JOIN", "JOIN", "JOIN_AND_FOLD", "EVENTS", "FOLDED_PAIRS", "PAIRED"),
        *("FOLDED", "JOINED", "SCALARS"),
        *("FILTERED_STATES", "OWN_STATES", "STATES"),
        *("FACTS", "UNITED"),
        *("FIRST_AND_LAST", "FIRST_OF_FACTS", "OWN_FOLDS"),
        *("DAYS", "MONTHS"),
        *("OWN_SESSIONS", "SESSIONS", "SESSIONS_FOLDED", "SESSIONS_JOINED", "SESSION_ENDS"),
        "HOPPING_PEAKS",
    }
)
"""Joins, explode, latest, unions that are not folded, three measures, calendars of a zone and months, sessions, two
aggregates one after the other.
"""


@dataclass
class FlinkOnTrial:
    """Each job in a process of its own, or by a gateway where one is named by its address."""

    name: str = "flink"
    gateway: str = ""
    refused: frozenset[str] = REFUSED

    def refusal(self, trial: Scene, product: ProductName) -> str:
        """What `check` and `plan` say of it where its contract names Flink, with the place."""
        resolved = trial.mesh.product(product)
        named = replace(resolved, product=replace(resolved.product, runner="flink"))
        return "; ".join(one.render() for one in runner_refusals(named, load_flow(trial.mesh, product)))

    def start(self, trial: Scene, products: Sequence[ProductName]) -> Running:
        """All of them, in one process that runs their jobs in turn."""
        options = ["--gateway", self.gateway] if self.gateway else []
        return RunnerProcess(trial, ["run", *map(str, products), *options, "--runner", "flink"])

"""Results: the median of the rounds that count, as JSON for machines and as a table with ratios for people."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

REFUSED = "refused: "  # how the fault of a round begins that a runner will not have: it is no failure


@dataclass(frozen=True, slots=True)
class Round:
    """One verified or failed drain of one system. Times in seconds; `seconds` counts from the start of the process.

    `seconds_running` and `events_running` leave the start-up out: they count from the first progress that was seen.
    """

    seconds: float
    seconds_running: float
    events_running: int
    cpu_seconds: float
    cpu_seconds_running: float
    rss_bytes: int
    broker_cpu_seconds: float
    outputs: int
    fault: str = ""
    right_share: float = 1.0

    @property
    def events_per_second(self) -> float:
        """Start-up left out."""
        return self.events_running / self.seconds_running if self.seconds_running > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Series:
    """All rounds of one system in one workload, and what they were run with."""

    workload: str
    system: str
    version: str
    events: int
    rounds: list[Round]
    settings: dict[str, Any] = field(default_factory=dict)
    discarded: int = 0
    latency_ms: dict[str, Any] = field(default_factory=dict)  # at a fixed rate, where it was measured
    durability: dict[str, Any] = field(default_factory=dict)  # kills and losses of state survived, where it was tried


def entry(series: Series) -> dict[str, Any]:
    """One entry of the results. A system with a round that failed has no figures, and says why."""
    kept = series.rounds[series.discarded :]
    faults = [one.fault for one in series.rounds if one.fault]
    head = {"workload": series.workload, "system": series.system, "version": series.version}
    shared = {"events": series.events, "settings": series.settings, "discarded_rounds": series.discarded}
    if faults or not kept:
        none = {"events_per_second": None, "cpu_seconds_per_million": None, "rss_mb": None}
        return {**head, **none, "verified": False, "fault": (faults or ["no round was run"])[0], **shared}
    millions = series.events / 1e6
    rates = [one.events_per_second for one in kept]
    costs = [one.cpu_seconds / millions for one in kept]
    return {
        **head,
        "events_per_second": round(statistics.median(rates)),
        "cpu_seconds_per_million": round(statistics.median(costs), 2),
        "rss_mb": round(statistics.median(one.rss_bytes for one in kept) / 1e6),
        "verified": True,
        "events_per_second_with_start": round(statistics.median(series.events / one.seconds for one in kept)),
        "cpu_seconds_per_million_without_start": round(
            statistics.median(one.cpu_seconds_running / max(one.events_running, 1) * 1e6 for one in kept), 2
        ),
        "seconds": round(statistics.median(one.seconds for one in kept), 2),
        "spread": {
            "events_per_second": [round(min(rates)), round(max(rates))],
            "cpu_seconds_per_million": [round(min(costs), 2), round(max(costs), 2)],
        },
        "outputs": kept[-1].outputs,
        "broker_cpu_share": round(statistics.median(one.broker_cpu_seconds / one.seconds for one in kept), 2),
        "right_share": min(one.right_share for one in kept),
        **({"durability": series.durability} if series.durability else {}),
        **({"latency_ms": series.latency_ms} if series.latency_ms else {}),
        **shared,
        "rounds": [asdict(one) for one in series.rounds],
    }


def unmeasured(workload: str, fault: str) -> dict[str, Any]:
    """The entry of a workload of which no system was measured, since what all of them need failed."""
    none = {"events_per_second": None, "cpu_seconds_per_million": None, "rss_mb": None}
    return {"workload": workload, "system": "none", "version": "", **none, "verified": False, "fault": fault}


def table(entries: Sequence[dict[str, Any]]) -> str:
    """The entries as text; ratios are those of the first system of each workload to the row's.

    "no start" is the CPU time per million events from the first progress on.
    """
    head = [
        "workload",
        "system",
        "version",
        "events/s",
        "ratio",
        "CPU-s/M",
        "ratio",
        "no start",
        "RSS MB",
        "right",
        "verified",
    ]
    rows = [head]
    first: dict[str, dict[str, Any]] = {}
    for one in entries:
        ours = first.setdefault(one["workload"], one)
        rows.append(
            [
                one["workload"],
                one["system"],
                one["version"],
                _number(one["events_per_second"]),
                _ratio(ours["events_per_second"], one["events_per_second"]),
                _number(one["cpu_seconds_per_million"]),
                _ratio(one["cpu_seconds_per_million"], ours["cpu_seconds_per_million"]),
                _number(one.get("cpu_seconds_per_million_without_start")),
                _number(one["rss_mb"]),
                f"{one['right_share']:.1%}" if "right_share" in one else "-",
                "yes" if one["verified"] else _why(one["fault"]),
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def save(path: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Write the results where they were asked for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(entries), indent=2, ensure_ascii=False) + "\n")


def _why(fault: str) -> str:
    return fault if fault.startswith(REFUSED) else f"NO: {fault}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _ratio(over: float | None, under: float | None) -> str:
    return f"{over / under:.2f} x" if over and under else "-"

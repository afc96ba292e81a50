"""Stages as words for a person, and as JSON for a program. The JSON form is versioned like an interface."""

from __future__ import annotations

from collections.abc import Iterator

from headwater.contracts.product import RUNNER_DEFAULT, RUNNERS
from headwater.plan.resource import RunnerOf, Source, Subject, Table, Topic
from headwater.plan.stages import Change, Difference, Stage

PLAN_VERSION = 1
_KINDS = {Topic: "topic", Subject: "subject", Source: "outbox", Table: "table", RunnerOf: "runner"}
UNSETTLED = (
    "a live Flink job settles nothing: answers as of stay unsettled until headwater runner flink run, or headwater run"
)
_BECAUSE = {"missing": "it is not there", "contract": "its contract changed", "drift": "it was changed by hand"}


def explain(found: Difference) -> Iterator[str]:
    """Lines: what is refused, what would be done and why, what drifted, and a summary; never nothing."""
    for refusal in found.refusals:
        yield f"refused  {refusal.render()}"
    for number, stage in enumerate(found.stages, 1):
        yield f"{number:>3}. {sentence(stage)}, since {_BECAUSE[stage.reason]}"
        for line in _details(stage):
            yield f"       {line}"
    yield from _runners(found)
    for finding in found.drift:
        yield f"drift    {finding.render()}"
    yield summary(found)


def sentence(stage: Stage) -> str:
    """What a stage does, in the words of the technology it calls."""
    resource = stage.resource
    if isinstance(resource, Topic):
        if stage.action == "create":
            note = f"; {resource.note}" if resource.note else ""
            return f"Kafka: create topic {resource.name} ({resource.holds}, {resource.partitions} partitions{note})"
        return f"Kafka: alter topic {resource.name}"
    if isinstance(resource, Subject):
        if stage.action == "level":
            return f"registry: set the level of {resource.name} to {resource.level}"
        return f"registry: register {resource.schema.name} under {resource.name}"
    if isinstance(resource, RunnerOf):
        return f"runner: move {resource.name} from {stage.changes[0].before} to {resource.runner}"
    if isinstance(resource, Table):
        return f"lake: prepare the table {resource.name}"
    return f"PostgreSQL: prepare the outbox {resource.table} in {resource.database}"


def summary(found: Difference) -> str:
    """One line with the counts."""
    if found.empty:
        rest = f", {len(found.drift)} drifted beside it" if found.drift else ""
        return f"nothing to do: {found.unchanged} resources are as their files say{rest}"
    counts = ", ".join(f"{count} to {action}" for action, count in _counts(found).items() if count)
    parts = [counts, f"{len(found.refusals)} refused" if found.refusals else "", f"{found.unchanged} unchanged"]
    return "; ".join(part for part in parts if part)


def as_json(found: Difference, *, command: str) -> dict[str, object]:
    """The published form: `schemaVersion`, `summary`, `stages`, `runners`, `refused`, `drift`."""
    return {
        "schemaVersion": PLAN_VERSION,
        "tool": "headwater",
        "command": command,
        "summary": {
            **_counts(found),
            "refused": len(found.refusals),
            "drift": len(found.drift),
            "unchanged": found.unchanged,
            "text": summary(found),
        },
        "stages": [stage_json(stage) for stage in found.stages],
        "runners": [
            {"product": one.name, "runner": one.runner, "note": UNSETTLED if one.runner == "flink" else ""}
            for one in found.runners
        ],
        "refused": [finding.as_json() for finding in found.refusals],
        "drift": [finding.as_json() for finding in found.drift],
    }


def stage_json(stage: Stage) -> dict[str, object]:
    """One stage in that form."""
    resource = stage.resource
    return {
        "action": stage.action,
        "kind": _KINDS[type(resource)],
        "name": resource.name,
        "products": list(resource.products) if isinstance(resource, Source) else [resource.product],
        "reason": stage.reason,
        "text": sentence(stage),
        "changes": [{"what": change.what, "before": change.before, "after": change.after} for change in stage.changes],
        "steps": list(stage.steps),
    }


def _counts(found: Difference) -> dict[str, int]:
    actions = ("create", "alter", "level", "register", "prepare", "move")
    return {action: sum(1 for stage in found.stages if stage.action == action) for action in actions}


def _runners(found: Difference) -> Iterator[str]:
    """Who runs what, where that is not by itself; and what is not settled there."""
    if all(one.runner == RUNNER_DEFAULT for one in found.runners):
        return
    for runner in RUNNERS:
        names = ", ".join(one.name for one in found.runners if one.runner == runner)
        if names:
            yield f"runner   {runner}: {names}"
            if runner == "flink":
                yield f"         {UNSETTLED}"


def _details(stage: Stage) -> Iterator[str]:
    if stage.action == "create":
        yield ", ".join(f"{change.what}={change.after}" for change in stage.changes if change.what != "partitions")
    else:
        yield from (_change(change) for change in stage.changes)
    yield from stage.steps


def _change(change: Change) -> str:
    return f"{change.what}: {change.before or 'not set'} -> {change.after}"

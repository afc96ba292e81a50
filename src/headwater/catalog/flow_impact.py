"""A flow that computes otherwise: whom that hits, which version is due, and what has to be filled again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from headwater.catalog.impact import Impact, contract_impacts
from headwater.catalog.mesh_lineage import Reader
from headwater.contracts.diff import Change, Effect
from headwater.contracts.logic_diff import Kind, LogicChange
from headwater.lineage.graph import Lineage
from headwater.mesh.products import Mesh, ResolvedProduct

_EFFECTS: dict[Kind, Effect] = {"breaking": "breaking", "additive": "data-affecting", "forward-only": "data-affecting"}
_KEPT = "the state that is kept has another form, and is made anew from the inputs"


def flow_impacts(
    changes: Iterable[LogicChange], resolved: ResolvedProduct, mesh: Mesh, readers: Sequence[Reader], lineage: Lineage
) -> list[Impact]:
    """Changes of a flow, each with its readers; `path` is the step of the flow that changed, or empty."""
    impacts = []
    for change in changes:
        why = f"{change.why}; {_KEPT}" if change.anew and change.kind != "breaking" else change.why
        same = Change(
            change.step, _EFFECTS[change.kind], change.before, change.after, f"{why}; {_fill(change, resolved, mesh)}"
        )
        (impact,) = contract_impacts([same], readers, lineage)
        fix = "take the change back, or raise the major version" if change.anew else ""
        due = "major" if change.anew else impact.due
        impacts.append(replace(impact, text=change.text(), place="flow", due=due, fix=fix))
    return impacts


def _fill(change: LogicChange, resolved: ResolvedProduct, mesh: Mesh) -> str:
    """What has to be filled again, from where on: a new major reads all that its inputs keep."""
    if not change.anew:
        return "nothing has to be filled again"
    kept = []
    for read in resolved.product.inputs:
        source = mesh.find(read.product)
        retention = source.output.output.retention if source is not None else None
        kept.append(f"{read.product} ({f'the last {retention.text()} are kept' if retention else 'all of it is kept'})")
    return f"a new major is filled from {', '.join(kept)}, and who reads this one is to move"

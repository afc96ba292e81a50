"""Which folds of the author's own are taken: what `fold` must be given, and the findings of one that breaks a law."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from headwater.errors import CallerFault, Finding
from headwater.processing.custom_fold import CustomFold
from headwater.processing.field_types import FieldType, from_avro
from headwater.processing.fold_laws import broken_law, can_be_tried, shown
from headwater.processing.graph import Aggregate, Graph, Node, Relation, before_of
from headwater.processing.refusals import finding

_MEND = {
    "HW-P124": "make add independent of order, and remove its exact inverse; else keep what it needs in the state",
    "HW-P125": "take every value of the fields' types, null where a field may be null",
    "HW-P126": "give a new state with exactly the declared fields, and a result of the declared type",
}


def admitted(
    functions: Mapping[str, Callable[..., Any]], initial: Mapping[str, Any], state: Mapping[str, Any], type_: Any
) -> CustomFold:
    """A fold from what `fold` was called with, version 1; raises `CallerFault` where it cannot be one."""
    for name, function in functions.items():
        if not callable(function):
            raise _refused(f"a fold needs the function {name}", "what cannot be taken out again cannot be corrected")
    if not isinstance(state, Mapping) or not state or not isinstance(initial, Mapping):
        raise _refused("a fold declares the fields of its state", 'for example state={"n": "long"}, initial={"n": 0}')
    types = tuple((name, _typed(type_json, f"the state's '{name}'")) for name, type_json in state.items())
    floats = [name for name, kept in types if _has(kept, "double")]
    if floats:
        raise CallerFault(
            f"the state's '{floats[0]}' is a float",
            code="HW-P123",
            detail="what floats add up to depends on the order, and taking out does not undo putting in",
            hint="keep integers or decimals; the result may be a float",
        )
    begun = tuple(initial.get(name) for name in state)
    custom = CustomFold(types, begun, _typed(type_, "the result"), 1, **functions)
    if problem := custom.misfit(initial):
        raise _refused("initial is no state of this fold", problem)
    return custom


def fold_findings(graph: Graph, node: Node, relate: Callable[[Graph, Node], Relation]) -> Iterator[Finding]:
    """The laws that folds of a flow break, each at the line of its aggregate."""
    for before in before_of(node):
        yield from fold_findings(graph, before, relate)
    if not isinstance(node, Aggregate):
        return
    fields = relate(graph, node.source).fields
    for name, measure in node.measures:
        if measure.custom is None:
            continue
        broken = broken_law(measure.custom, [fields[field] for field in measure.fields])
        if broken is not None:
            rows = f"on rows made for the check: {', '.join(shown(broken.rows))}"
            yield finding(graph, node.line, broken.code, f"the fold '{name}': {broken.what}", rows, _MEND[broken.code])


def _typed(type_json: Any, what: str) -> FieldType:
    type_ = from_avro(type_json)
    if not can_be_tried(type_):
        raise _refused(f"{what} has a type that a fold cannot keep", 'for example "long", ["null", "string"]')
    return type_


def _has(type_: FieldType, kind: str) -> bool:
    inner = [member for _, member in type_.members] + ([] if type_.items is None else [type_.items])
    return type_.kind == kind or any(_has(part, kind) for part in inner)


def _refused(message: str, hint: str) -> CallerFault:
    return CallerFault(message, code="HW-P122", detail="a fold is a state and pure functions", hint=hint)

"""What a flow computes, as text: equal where two flows make the same records, whatever they look like.

It is made of the compiled flow's steps, with columns that nobody reads left out. `releases.lock` keeps it, so that a
changed filter or computed field, which no schema shows, is seen and judged (`contracts.logic_diff`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from headwater.processing.compile_inputs import branches_of
from headwater.processing.function_text import function_text
from headwater.processing.graph import (
    Aggregate,
    Explode,
    Filter,
    Graph,
    JoinAsOf,
    JoinWithin,
    Latest,
    Map,
    Measure,
    Source,
    Union,
    main_line,
    step_name,
)
from headwater.processing.logic_text import Columns, Made, digest, joined, plain, rows_text
from headwater.processing.operators.rows import needed
from headwater.processing.steps import Plan
from headwater.processing.stretches import Stretch, stretches
from headwater.processing.validation import relate
from headwater.processing.validation_explode import taken_of


@dataclass(frozen=True)
class Logic:
    """What a flow computes. `lines` says where `flow.py` says a step; they are not part of what it computes.

    `steps` is what decides which rows there are, in order; `values` what is folded or joined on the way and kept;
    `fields` what each field of the output is; `kept` changes where the form of kept state, or what names it, does.
    """

    steps: tuple[str, ...]
    values: frozenset[str]
    fields: dict[str, Made]
    kept: str
    lines: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """As the lock holds it: of each field its text, and then the kept values that it is made of."""
        fields = {name: [one.text, *sorted(one.of)] for name, one in sorted(self.fields.items())}
        return {"steps": list(self.steps), "values": sorted(self.values), "fields": fields, "kept": self.kept}


def logic_of(graph: Graph, plan: Plan) -> Logic:
    """What a valid flow computes; `plan` is its plan.

    Of further outputs it tells what they do to the rows that all share, and their fields, each with the output's name.
    """
    reading = _Reading(replace(graph, further=()))
    for one in graph.further:
        reading.take_further(_Reading(one), one.output.product.output)
    forms = [f"{stage.name}:{stage.form}" for stage in plan.stages if stage.ticks]
    kept = digest("\n".join(forms)) if forms else ""
    fields = reading.made()
    return Logic(tuple(reading.steps), frozenset(reading.values), fields, kept, reading.lines)


class _Reading:
    """A flow read from its source on: the steps so far, and what each column is now."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.steps: list[str] = []
        self.lines: dict[str, int] = {}
        self.values: set[str] = set()
        self.columns: dict[str, Made] = {}
        self.own = 0  # from here on its steps are the output's own
        self._others: dict[str, Made] = {}
        for stretch in stretches(graph):
            self.pass_through(stretch)

    def made(self) -> dict[str, Made]:
        """What each field of the output is, and of others that were taken in."""
        names = self._graph.output.columns()
        return {**{name: self.columns[name] for name in names if name in self.columns}, **self._others}

    def take_further(self, other: _Reading, output: str) -> None:
        """The steps of another output that are its own, and its fields."""
        for step in other.steps[other.own :]:
            self._say(f"{step} in the output {output}", other.lines[step])
        self.values |= other.values
        self._others |= {f"{output}.{name}": one for name, one in other.made().items()}

    def pass_through(self, stretch: Stretch) -> None:
        """A step, and what is done to its rows one by one."""
        step, line = stretch.step, stretch.line
        if step is None:
            self._begin(stretch)
        elif isinstance(step, Explode):
            self._explode(step)
        elif isinstance(step, Aggregate):
            self._aggregate(step)
        elif isinstance(step, Latest):
            by = ", ".join(self.columns[name].text for name in step.by)
            self._say(f"latest '{step.name}' by {by}", line)
            self._keep()
            self.columns |= plain(("valid_from", "valid_to"))
        else:
            self._join(step)
        self.own = len(self.steps)
        rows = rows_text(stretch.rows, {name: self.columns[name] for name in stretch.given})
        for condition in rows.conditions:
            self._say(f"filter {condition}", next(row.line for row in stretch.rows if isinstance(row, Filter)))
        self.columns = rows.columns

    def _say(self, step: str, line: int) -> None:
        self.steps.append(step)
        self.lines.setdefault(step, line)

    def _keep(self) -> None:
        """What is kept from here on is made by the logic of its time: each column is a kept value."""
        self.columns = {
            name: one if one.text in one.of else Made(one.text, frozenset([one.text]))
            for name, one in self.columns.items()
        }
        self.values |= {value for one in self.columns.values() for value in one.of}

    def _begin(self, stretch: Stretch) -> None:
        start = main_line(self._graph.root)[0]
        if isinstance(start, Source):
            self._say(f"read {self._graph.inputs[start.index].product}", start.line)
            self.columns = plain(stretch.given)
            return
        assert isinstance(start, Union)
        told = []
        for branch, node in zip(branches_of(self._graph), start.sources, strict=True):
            steps = [step for step in main_line(node) if isinstance(step, Map | Filter)]
            wanted = [name for name in stretch.given if name != start.named]
            told.append(f"{branch.port.product}{_rows(steps, wanted)}")
        self._say(f"unite {', '.join(sorted(told))}", start.line)
        self.columns = {**plain(stretch.given), **({start.named: Made("input()")} if start.named else {})}

    def _explode(self, step: Explode) -> None:
        array = self.columns[step.field]
        self._say(f"explode {array.text}", step.line)
        for one in taken_of(self._graph, step, relate(self._graph, step.source)):
            self.columns[one.name] = joined("element", [array, *([Made(one.member)] if one.member else [])])
        if step.position:
            self.columns[step.position] = joined("place", [array])

    def _aggregate(self, step: Aggregate) -> None:
        by = {name: self.columns[name] for name in step.by}
        told = ", ".join(one.text for one in by.values())
        self._say(f"aggregate '{step.name}' by {told} over {step.window.text()}", step.line)
        values = {name: _measured(measure, self.columns) for name, measure in step.measures}
        self.values |= {one.text for one in values.values()}
        self.columns = {**by, **values, **plain(("valid_from", "valid_to"))}

    def _join(self, step: JoinAsOf | JoinWithin) -> None:
        source = main_line(step.right)[0]
        assert isinstance(source, Source)
        product = str(self._graph.inputs[source.index].product)
        steps = [row for row in main_line(step.right) if isinstance(row, Map | Filter)]
        names = [*(name for _, name in step.on), *(name for _, name in step.take)]
        right = rows_text(steps, plain(needed(steps, names)))
        on = sorted(f"{self.columns[left].text} = {right.columns[name].text}" for left, name in step.on)
        where = "".join(f" where {condition}" for condition in right.conditions)
        self._keep()
        name = step_name(self._graph, step)
        kind = f"join_within {step.distance}us" if isinstance(step, JoinWithin) else "join_as_of"
        self._say(f"{kind} '{name}' {product}{where} on {' and '.join(on)}", step.line)
        for name, taken in step.take:
            self.columns[name] = _value(joined(f"{step.name} {product}".strip(), [right.columns[taken]]))
            self.values.add(self.columns[name].text)


def _rows(steps: Iterable[Map | Filter], wanted: Iterable[str]) -> str:
    steps, wanted = list(steps), sorted(wanted)
    rows = rows_text(steps, plain(needed(steps, wanted)))
    told = [f"where {condition}" for condition in rows.conditions]
    told += [f"{name} = {rows.columns[name].text}" for name in wanted if rows.columns[name].text != name]
    return f" ({'; '.join(told)})" if told else ""


def _measured(measure: Measure, columns: Columns) -> Made:
    read = [columns[name] for name in measure.reads()]
    if measure.custom is not None:
        custom = measure.custom
        texts = [function_text(function) for function in (custom.add, custom.remove, custom.result)]
        own = digest("\n".join([repr(custom.state), repr(custom.initial), repr(custom.type), *texts]))
        read += [Made(own), Made(str(custom.version))]
    return _value(joined(measure.function, read))


def _value(one: Made) -> Made:
    return Made(one.text, frozenset([one.text]))

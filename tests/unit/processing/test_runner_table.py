"""The cases of the suite over runners that the flink runner is known to refuse: no more, and no fewer."""

from __future__ import annotations

from headwater.processing.flow import source
from headwater.processing.graph import Graph
from headwater.processing.runners.flink import refusals
from headwater.testing.conformance.runner_flink import REFUSED
from headwater.testing.conformance.runners import ALL, distinct


def test_the_known_refusals_are_those_of_the_compiler() -> None:
    found = set()
    for file in distinct(ALL):
        case = file.case
        streams = (source(place) for place in range(len(case.inputs)))
        if refusals(Graph(case.flow(*streams).node, case.inputs, case.output)):
            found.add(file.name)
    assert found == REFUSED

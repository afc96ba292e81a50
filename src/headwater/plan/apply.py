"""Stages as deeds: everything is looked at before the first; each is safe to repeat; the journal stands behind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from headwater.contracts.product import RUNNER_DEFAULT
from headwater.errors import Fault, Finding, InvalidFiles
from headwater.mesh.products import Mesh
from headwater.naming import ProductName
from headwater.outbox.source import ensure_source
from headwater.plan.actual import Parts, read_actual
from headwater.plan.desired import Desired, desired
from headwater.plan.journal import Journal
from headwater.plan.resource import TOPIC, RunnerOf, Source, Subject, Table, Topic
from headwater.plan.stages import Applied, Difference, Stage, difference
from headwater.plan.state_forms import form_refusals
from headwater.ports.record import TopicDescription
from headwater.processing.compiler import compile_plan
from headwater.processing.flow_file import load_flow
from headwater.processing.graph import Graph
from headwater.processing.runners.refused import cluster_refusals, runner_refusals


@dataclass(frozen=True, slots=True)
class Pending:
    """What is desired, and how the running mesh differs from it."""

    desired: Desired
    difference: Difference


def pending(mesh: Mesh, parts: Parts, applied: Applied, *, only: Collection[ProductName] = ()) -> Pending:
    """The plan for the products of `only`, or for all. Loads flows, asks all parts, writes nothing."""
    for name in only:
        mesh.whole(name)  # a name that is not there is said before anything is asked
    graphs = {
        product.name: load_flow(mesh, product.name)
        for product in mesh.in_order()
        if product.product.inputs and (not only or product.name in only)
    }
    plans = {name: compile_plan(graph, tick=int(mesh.file.tick)) for name, graph in graphs.items()}
    wanted = desired(mesh, plans, only)
    # Of a part of the mesh nobody can say what the rest no longer asks for.
    once = [] if only else [name.removeprefix(TOPIC) for name in applied if name.startswith(TOPIC)]
    found = difference(wanted, read_actual(wanted, parts, once=once), applied)
    refusals = (*found.refusals, *form_refusals(mesh, plans, parts.broker), *_runner_refusals(mesh, graphs, parts))
    return Pending(wanted, replace(found, refusals=refusals))


def apply(
    found: Pending,
    parts: Parts,
    journal: Journal,
    *,
    failpoint: Callable[[str], None] = lambda name: None,
    announce: Callable[[Stage], None] = lambda stage: None,
) -> None:
    """Do all stages in order; raises `InvalidFiles` with the refusals before the first of them.

    An apply that was cut short leaves its mark in the journal; the next one plans anew and does what is left.
    """
    if found.difference.refusals:
        raise InvalidFiles(found.difference.refusals)
    if found.difference.stages:
        journal.begin(found.difference.stages)
    for stage in found.difference.stages:
        announce(stage)
        failpoint("apply.before_deed")
        _do(stage, found.desired, parts)
        failpoint("apply.after_deed")
        journal.done(stage)
    if found.difference.stages:
        left = difference(found.desired, read_actual(found.desired, parts), {})
        if not left.empty:
            raise Fault(
                f"{left.stages[0].id if left.stages else left.refusals[0].path} is not as apply left it",
                code="HW-D013",
                detail="the deed was done, and reading it back shows something else",
                hint="see who else changes it, then headwater plan",
            )
    journal.end([*found.desired.resources, *found.desired.runners])


def _runner_refusals(mesh: Mesh, graphs: Mapping[ProductName, Graph], parts: Parts) -> list[Finding]:
    """Why products cannot run on the runners that their contracts name."""
    found: list[Finding] = []
    for name, graph in graphs.items():
        product = mesh.product(name)
        if product.product.runner != RUNNER_DEFAULT:
            found += runner_refusals(product, graph)
            found += cluster_refusals(product, parts.kafka)
    return found


def _do(stage: Stage, wanted: Desired, parts: Parts) -> None:
    resource = stage.resource
    if isinstance(resource, Topic):
        if stage.action == "create":
            description = TopicDescription(resource.name, resource.partitions, dict(resource.settings))
            parts.broker.create_topic(description)
        else:
            parts.broker.alter_topic(resource.name, {change.what: change.after for change in stage.changes})
    elif isinstance(resource, Subject):
        if stage.action == "level":
            parts.registry.set_level(resource.name, resource.level)
        else:
            parts.registry.register(resource.name, resource.schema)
    elif isinstance(resource, Source):
        ensure_source(wanted.sources[resource.name], parts.sources[resource.name], parts.broker)
    elif isinstance(resource, RunnerOf):
        pass  # who starts the runner moves the product; the journal notes what it is to be
    elif isinstance(resource, Table):
        parts.tables.ensure(wanted.tables[resource.name])

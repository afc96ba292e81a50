"""The lake, for programs: answers from a product's table, and files that a query scans by itself."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.contracts.environment import Environment
from headwater.mesh.products import ResolvedProduct
from headwater.ports.answers import Answer, Question
from headwater.ports.lake.answers import LakeAnswers
from headwater.ports.lake.opening import open_lake
from headwater.ports.lake.reading import LakeSource
from headwater.ports.lake.refusals import not_of_the_lake
from headwater.ports.lake.sql import as_of_sql, history_sql, scan_sql
from headwater.ports.progress import NOTHING
from headwater.schemas.avro import Schema
from headwater.timeline.instant import Instant


@dataclass(frozen=True, slots=True)
class Lazy:
    """A product as of some moments that nobody has read yet: SQL over the files at `paths`, and how firm it is.

    Without a recorded moment it is never settled: what the table holds by then was not looked at.
    """

    sql: str
    paths: tuple[str, ...]
    settled_to: Instant
    settled: bool


def lake_answers(product: ResolvedProduct, environment: Environment) -> LakeAnswers:
    """Answers from a product's table in an environment; raises `CallerFault` HW-I015 where it is not in the lake."""
    return LakeAnswers(product, _source(product, environment))


def read_lake(
    product: ResolvedProduct, environment: Environment, question: Question, *, history: bool
) -> tuple[Answer, Schema] | Lazy:
    """What a query asks of a product: files to scan, or where those do not say it all, the answer itself."""
    return read_source(product, _source(product, environment), question, history=history)


def read_source(
    product: ResolvedProduct, source: LakeSource, question: Question, *, history: bool
) -> tuple[Answer, Schema] | Lazy:
    """The same of a table that is open."""
    answers = LakeAnswers(product, source)
    scan = source.scan(question.recorded_at)
    rows = scan_sql(scan) if scan is not None else None
    sql = None
    if rows is not None:
        names = [field.name for field in answers.schema.fields]
        if history:
            sql = history_sql(rows, names, question.recorded_at)
        else:
            output = product.output
            sql = as_of_sql(
                rows,
                names,
                output.output.key,
                shape=output.shape,
                valid_at=question.valid_at,
                recorded_to=question.recorded_at,
            )
    if scan is None or sql is None:
        return (answers.history if history else answers.as_of)(question), answers.schema
    settled_to = scan.progress.settled_to if scan.progress is not None else NOTHING
    settled = question.recorded_at is not None and question.recorded_at <= settled_to
    return Lazy(sql, scan.paths, settled_to, settled)


def _source(product: ResolvedProduct, environment: Environment) -> LakeSource:
    if "lake" not in product.output.output.ports:
        raise not_of_the_lake(str(product.name))
    return open_lake(environment.lake).source(product)

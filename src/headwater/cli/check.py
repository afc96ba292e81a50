"""`headwater check`: is the mesh right, as far as its files can tell, and whom does a change hit."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from headwater.plan.check import Report

Form = Literal["text", "json", "junit", "sarif", "github", "gitlab", "azure", "markdown"]
_BY_SUFFIX: dict[str, Form] = {".json": "json", ".xml": "junit", ".sarif": "sarif", ".md": "markdown"}


def command(
    base: Annotated[
        str, typer.Option("--base", help="A git revision: show only what changed since, and whom that hits.")
    ] = "",
    output: Annotated[
        Form | None,
        typer.Option("--output", help="How to print findings. Default: text, or by the suffix of --output-file."),
    ] = None,
    output_file: Annotated[
        Path | None,
        typer.Option("--output-file", help="Write there, and print text: .json, .xml (JUnit), .sarif, .md."),
    ] = None,
    fail_on: Annotated[
        Literal["info", "warning", "error"], typer.Option("--fail-on", help="The least severity that fails.")
    ] = "error",
) -> None:
    """Check contracts, schemas, their history, flows, and whom a change hits, with no network.

    Everything that is wrong is told at once, at file, line and column, with the reason and the fix. Exits with 1 where
    a finding is at or above --fail-on. --base changes what is shown, never the verdict.
    """
    from headwater.cli import console
    from headwater.plan import check
    from headwater.plan.report_text import as_markdown, as_text
    from headwater.settings import load_settings

    settings = load_settings()
    form = output or (_BY_SUFFIX.get(output_file.suffix, "text") if output_file else "text")
    with _uncollected():
        report = check.check(settings.mesh_folder, base)
    text = (
        _render(_placed(report, settings.mesh_folder, form), form).encode(errors="replace").decode()
    )  # names of files need not be Unicode
    if output_file is not None:
        _write(output_file, text)
        text = as_text(report)
    if text:
        console.out(text.rstrip("\n"))
    summary = os.environ.get("GITHUB_STEP_SUMMARY", "")
    if form == "github" and summary:
        _append(Path(summary), as_markdown(report))
    if check.failing(report.findings, fail_on):
        raise typer.Exit(1)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for cycles of dead objects, then and at the end: of a large mesh, that takes a third of the time.

    What the check made lives until the process ends, which is soon.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def _placed(report: Report, mesh_folder: Path, form: Form) -> Report:
    """With files named from the current folder, where a host shows them: in CI that is the repository's."""
    from dataclasses import replace

    here = Path.cwd().resolve()
    if form in ("text", "json", "markdown") or mesh_folder == here or not mesh_folder.is_relative_to(here):
        return report
    prefix = mesh_folder.relative_to(here).as_posix()
    return replace(report, shown=tuple(replace(found, file=f"{prefix}/{found.file}") for found in report.shown))


def _render(report: Report, form: Form) -> str:
    from headwater.plan import report_ci, report_text

    renderers = {
        "text": report_text.as_text,
        "json": report_text.as_json,
        "markdown": report_text.as_markdown,
        "junit": report_ci.as_junit,
        "sarif": report_ci.as_sarif,
        "github": report_ci.as_github,
        "gitlab": report_ci.as_gitlab,
        "azure": report_ci.as_azure,
    }
    return renderers[form](report)


def _write(path: Path, text: str) -> None:
    from headwater.errors import CallerFault

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"{path} cannot be written"
        raise CallerFault(message, code="HW-K030", detail=error.strerror or "", hint="name another file") from None


def _append(path: Path, text: str) -> None:
    """Add to the job's summary. A summary that cannot be written is no reason to fail a check."""
    from headwater.cli import console

    try:
        with path.open("a", encoding="utf-8") as opened:
            opened.write(text + "\n")
    except OSError as error:
        console.err().print(f"the job's summary cannot be written: {error.strerror}")

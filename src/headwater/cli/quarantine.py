"""`headwater quarantine`: what went aside, why, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from headwater.cli.quarantine_change import discard, release, repair

if TYPE_CHECKING:
    from headwater.ports.quarantine_log import Entry

app = typer.Typer(help="Records that did not fit: list, show, repair, release, discard.", no_args_is_help=True)
for change in (repair, release, discard):
    app.command()(change)

Output = Annotated[Literal["text", "json"], typer.Option("--output", help="How to print.")]


@app.command("list")
def entries(
    products: Annotated[list[str] | None, typer.Argument(metavar="[PRODUCT]...", help="Only these products.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="The resolved ones too.")] = False,
    keys: Annotated[bool, typer.Option("--keys", help="Show keys; they may be personal.")] = False,
    output: Output = "text",
) -> None:
    """List what is in quarantine: open, or parked behind an open one of its key. Values are never printed.

    JSON is one object a line. Ids are those of outbox rows; in derived products the place of the input record.
    """
    from headwater.cli import console
    from headwater.mesh.load import load_mesh
    from headwater.outbox.mending import listed
    from headwater.ports.kafka import KafkaBroker
    from headwater.settings import environment_of, load_settings

    settings = load_settings()
    mesh = load_mesh(settings.mesh_folder)
    chosen = [mesh.whole(name) for name in dict.fromkeys(products or [])] or list(mesh.products.values())
    broker = KafkaBroker(environment_of(settings, mesh.file).kafka)
    found = [_listed(name, entry, keys=keys) for name, entry in listed(chosen, broker, resolved=everything)]
    if output == "json":
        for one in found:
            console.print_json_line(one)
    elif not found:
        console.out("nothing is in quarantine" if everything else "nothing waits in quarantine")
    else:
        columns = [name for name in found[0] if name not in ("by", "resolved_at")]
        console.table("", columns, [[one[name] for name in columns] for one in found])


@app.command()
def show(
    entry: Annotated[str, typer.Argument(metavar="ID", help="The entry's id, as `list` prints it.")],
    values: Annotated[bool, typer.Option("--values", help="Print the payload; for whoever may read it.")] = False,
    output: Output = "text",
) -> None:
    """Show one entry: the reason, made anew from its bytes, its headers, and what became of it."""
    from headwater.cli import console
    from headwater.explanations.catalogue import explain
    from headwater.mesh.load import load_mesh
    from headwater.outbox.mending import find, reason_of
    from headwater.ports.kafka import KafkaBroker
    from headwater.settings import environment_of, load_settings

    settings = load_settings()
    mesh = load_mesh(settings.mesh_folder)
    broker = KafkaBroker(environment_of(settings, mesh.file).kafka)
    found = find(mesh.products.values(), broker, entry)
    shown = _listed(str(found.product.name), found.entry, keys=values)
    why, field = reason_of(found)
    known = explain(shown["code"])
    shown |= {
        "reason": why or (known.says if known is not None else ""),
        "field": field,
        "fix": known.mend if known is not None else "",
        "place": f"{found.entry.topic} [{found.entry.partition}] {found.entry.offset}",
        **{name: text for name, text in found.entry.facts.items() if name not in ("class", "stage", "error.code")},
        **{name: value.decode(errors="replace") for name, value in found.message.headers if _own(name)},
    }
    if values:
        shown["payload"] = (found.payload or b"").decode(errors="backslashreplace")
    if output == "json":
        console.print_json_line(shown)
    else:
        for name, value in shown.items():
            if value not in ("", None):
                console.out(console.folded([f"{name}:", str(value)]))


def _own(name: str) -> bool:
    """Whether a header is one of the original's, or of its row's columns."""
    return not name.startswith("quarantine.") and name != "id"


def _listed(product: str, entry: Entry, *, keys: bool) -> dict[str, Any]:
    from headwater.timeline.instant import Instant

    facts = entry.facts
    shown: dict[str, Any] = {
        "id": entry.id,
        "product": product,
        "when": Instant(entry.timestamp * 1_000).iso(),
        "stage": facts.get("stage", ""),
        "class": facts.get("class", ""),
        "code": facts.get("error.code", ""),
        "state": entry.state + (" (parks its key)" if entry.parks and entry.state == "open" else ""),
    }
    if keys:
        shown["key"] = entry.key.decode(errors="replace")
    if entry.resolved_at:
        shown |= {"by": facts.get("by", ""), "resolved_at": Instant(entry.resolved_at * 1_000).iso()}
    return shown

"""`headwater connector`: Debezium's connectors for outboxes, generated, deployed and looked after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from headwater.cli.connector_move import move

app = typer.Typer(
    help="Outboxes over Kafka Connect: the Debezium lane to the relay, and the plain event router.",
    no_args_is_help=True,
)
app.command()(move)

Source = Annotated[str, typer.Option("--source", help="This outbox, as operations.public.outbox; else all of them.")]
Router = Annotated[
    bool, typer.Option("--router", help="The plain event router, for topics that others read without Headwater.")
]
Avro = Annotated[bool, typer.Option("--avro", help="With --router: pass the bytes of payload_avro on.")]
Output = Annotated[Literal["text", "json"], typer.Option("--output", help="How to print.")]


@app.command()
def generate(
    source: Source = "",
    router: Router = False,
    avro: Avro = False,
    folder: Annotated[Path | None, typer.Option("--folder", help="Write a file for each connector there.")] = None,
) -> None:
    """Print the configuration of the connectors; asks nothing and changes nothing.

    Without --router it is that of the outboxes whose contracts say lane: debezium. Secrets are placeholders that
    Connect's own config providers fill in. Names, slots and publications are those that apply makes.
    """
    import json

    from headwater.cli import console
    from headwater.cli.connector_parts import load_parts

    made = {one.name: one.config for one in load_parts(source, router=router, avro=avro).connectors}
    if folder is None:
        console.out(json.dumps(made, indent=2))
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, config in made.items():
        (folder / f"{name}.json").write_text(json.dumps(config, indent=2) + "\n")
        console.out(f"wrote {folder / name}.json")


@app.command()
def deploy(
    source: Source = "",
    router: Router = False,
    avro: Avro = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Give Connect the configuration, after what it needs is there; shows the difference first. Twice is once.

    Refuses a Debezium that is older than 3.7.0.Final. The lane's topic, slot and publication are made by apply; the
    plain router's are made here. Connect makes none of them.
    """
    from headwater.cli import console
    from headwater.cli.connector_parts import load_parts, prepare
    from headwater.errors import CallerFault
    from headwater.outbox.debezium_connect import differences

    parts = load_parts(source, router=router, avro=avro)
    connect = parts.connect()
    connect.version()
    for one in parts.connectors:
        steps = prepare(parts, one)
        changes = differences(connect.config(one.name), one.config)
        if not changes and not steps:
            console.out(f"{one.name}: as it should be")
            continue
        for line in [*(step.text for step in steps), *changes]:
            console.out(f"  {line}")
        if not yes and not typer.confirm(f"{one.name}: do this?"):
            raise CallerFault(f"{one.name} was left as it is", code="HW-O135", hint="headwater connector deploy --yes")
        for step in steps:
            step.do()
        if changes:
            connect.put(one.name, one.config)
        console.out(f"{one.name}: deployed")


@app.command()
def status(source: Source = "", router: Router = False, output: Output = "text") -> None:
    """Show connectors and tasks: state, version, why one failed, and how much log its slot holds back.

    Exits with 1 where one does not run. Reasons are cut to what holds no values.
    """
    from headwater.cli import console
    from headwater.cli.connector_parts import load_parts, retained_bytes

    parts = load_parts(source, router=router)
    connect = parts.connect()
    found = [(one, connect.status(one.name)) for one in parts.connectors]
    rows = [
        {
            **(state.as_json() if state else {"name": one.name, "state": "MISSING", "version": "", "tasks": []}),
            "retained_bytes": retained_bytes(parts, one),
        }
        for one, state in found
    ]
    if output == "json":
        console.print_json_line({"connectors": rows})
    else:
        for row, (_, state) in zip(rows, found, strict=True):
            held = row["retained_bytes"]
            shown = f"{held / 1e6:.1f} MB of log held back" if isinstance(held, int) else "no slot"
            console.out(f"{row['name']}: {row['state']} {row['version']}; {shown}")
            for number, (task_state, reason) in enumerate(state.tasks if state else ()):
                console.out(f"  task {number}: {task_state} {reason}".rstrip())
    if not all(state is not None and state.running for _, state in found):
        raise typer.Exit(1)


def _action(action: str, done: str) -> None:
    def act(source: Source = "", router: Router = False) -> None:
        from headwater.cli import console
        from headwater.cli.connector_parts import load_parts

        parts = load_parts(source, router=router)
        for one in parts.connectors:
            parts.connect().act(one.name, action)
            console.out(f"{one.name}: {done}")

    act.__doc__ = {
        "pause": "Stop capturing until resumed; the replication slot keeps what is committed meanwhile.",
        "resume": "Capture again, from where it was paused.",
        "restart": "Restart connectors and tasks: after a failure whose cause is mended.",
        "delete": "Remove connectors from Connect. Topics, slots and publications stay, and slots hold back log.",
    }[action]
    app.command(action)(act)


for _name, _done in (
    ("pause", "paused"), ("resume", "resumed"), ("restart", "restarted"), ("delete", "deleted"),
):  # fmt: skip
    _action(_name, _done)

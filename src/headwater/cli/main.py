"""The command tree: each command is a module with a `command` function, or an `app` where it has several."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import typer

from headwater.errors import CallerFault, HeadwaterError, InvalidFiles

COMMANDS = (
    "demo",
    "up",
    "down",
    "status",
    "doctor",
    "check",
    "explain",
    "plan",
    "apply",
    "schema",
    "contract",
    "registry",
    "emit",
    "relay",
    "connector",
    "test",
    "preview",
    "run",
    "runner",
    "processing",
    "tail",
    "quarantine",
    "query",
    "serve",
    "token",
    "lake",
)
EXIT_FAULT = 70
_ROOM = "make room on that disk, then run the same command again"
_RIGHTS = "mend the rights of the folder, or choose another one"
_REFUSALS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
}


def build(names: Sequence[str] = COMMANDS) -> typer.Typer:
    """The command tree, or a part of it; modules are light, their bodies import what they need."""
    tree = typer.Typer(
        name="headwater",
        help="A streaming, event-driven data-product platform on Apache Kafka, with two times on every record.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    tree.callback(invoke_without_command=True)(_root)
    for name in names:
        module = importlib.import_module(f"headwater.cli.{name}")
        if hasattr(module, "app"):
            tree.add_typer(module.app, name=name)
        else:
            tree.command(name)(module.command)
    return tree


def main() -> None:
    """Run the command line; every error of ours becomes one clear message and its exit code."""
    debug = os.environ.get("HEADWATER_DEBUG", "") not in ("", "0")
    try:
        build(_wanted(sys.argv[1:]))()
    except HeadwaterError as error:
        if debug:
            traceback.print_exc()
        _report(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output went away: nothing is wrong, and nothing more can be said on that pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, OSError) and error.errno in _REFUSALS:
            refused = _refused(error)
            _report(refused)
            _let_go_of_output()
            sys.exit(refused.exit_code)
        sys.stderr.write(
            f"headwater failed: {type(error).__name__}. This is a fault of Headwater itself.\n"
            "fix: run the same command with HEADWATER_DEBUG=1 and report what it prints\n[HW-K070]\n"
        )
        sys.exit(EXIT_FAULT)


def _let_go_of_output() -> None:
    """What the output did not take is tried once more when Python ends, and would then change the exit code."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refused(error: OSError) -> CallerFault:
    """What the system refuses to anybody who writes: no fault of Headwater, and no code of its own for each place."""
    assert error.errno is not None
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "the output"
    return CallerFault(
        f"{where} cannot be written: {os.strerror(error.errno)}",
        code="HW-K020",
        detail="what was committed before stays; nothing is half done",
        hint=_REFUSALS[error.errno],
    )


def _wanted(arguments: Sequence[str]) -> Sequence[str]:
    """Only the command that is called, where one is: the others need not be loaded."""
    return (arguments[0],) if arguments and arguments[0] in COMMANDS else COMMANDS


def _root(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        from importlib.metadata import version as version_of

        sys.stdout.write(f"headwater {version_of('headwater')}\n")
        raise typer.Exit


def _report(error: HeadwaterError) -> None:
    if isinstance(error, InvalidFiles):
        for finding in error.findings:
            sys.stderr.write(finding.render() + "\n")
        sys.stderr.write(f"{error.message}\n")
    else:
        sys.stderr.write(error.render() + "\n")


if __name__ == "__main__":
    main()

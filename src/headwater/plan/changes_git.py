"""What changed since a revision, asked of git. It decides what a check shows in full, and never what it finds."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from headwater.errors import CallerFault

_SECONDS_LIMIT = 60  # a repository that answers later is not one to wait for


@dataclass(frozen=True, slots=True)
class GitChanges:
    """Files below the mesh's folder that differ from a revision, with `/`; None, and why, where git cannot say."""

    files: frozenset[str] | None
    note: str = ""


def changed_since(folder: Path, base: str) -> GitChanges:
    """The files that differ from where this branch left `base`: committed, staged, edited or new.

    A shallow clone without the revision, or no repository, gives no files and a note. A revision that a whole clone
    does not have raises `CallerFault` HW-D017.
    """
    try:
        inside = _git(folder, "rev-parse", "--is-shallow-repository")
    except (OSError, subprocess.TimeoutExpired):
        return GitChanges(None, "git is not here: everything is shown")
    if inside.returncode != 0:
        return GitChanges(None, "this is no git repository: everything is shown")
    if _git(folder, "rev-parse", "--verify", "--quiet", "HEAD").returncode != 0:
        return GitChanges(None, "nothing is committed yet: everything is shown")
    shallow = inside.stdout.strip() == b"true"
    if _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}").returncode != 0:
        if shallow:
            return GitChanges(None, f"this shallow clone does not have {base}: everything is shown")
        raise CallerFault(
            f"git knows no revision '{base[:80]}'",
            code="HW-D017",
            hint="name a branch, a tag or a commit that is in this clone",
        )
    joint = _git(folder, "merge-base", base, "HEAD")
    start = joint.stdout.decode().strip() if joint.returncode == 0 else base
    edited = _git(folder, "diff", "--name-only", "--no-renames", "--relative", "-z", start, "--", ".")
    new = _git(folder, "ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    if edited.returncode != 0 or new.returncode != 0:
        return GitChanges(None, f"git cannot compare with {base}: everything is shown")
    names = (edited.stdout + new.stdout).decode(errors="surrogateescape").split("\0")
    return GitChanges(frozenset(name for name in names if name))


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False, timeout=_SECONDS_LIMIT)

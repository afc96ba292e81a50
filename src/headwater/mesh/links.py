"""Links in a mesh's folders: what they lead to outside of the mesh is read by nobody, nor told in findings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from headwater.errors import Finding, InvalidFiles


def require_inside(folder: Path, names: Sequence[str]) -> None:
    """Raise `InvalidFiles` HW-C127 where one of these files and folders of a mesh, or what is in them, leads out of it.

    Links within the mesh are followed, as files are.
    """
    findings = [
        Finding(
            "HW-C127",
            "error",
            path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name,
            0,
            0,
            "",
            "this is a link that leads out of the mesh",
            "a mesh is read whole, by checks of changes too: files of the machine that reads it are no part of it",
            "put the file there itself",
        )
        for path in _leading_out(folder, names)
    ]
    if findings:
        raise InvalidFiles(findings)


def _leading_out(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    root, seen = folder.resolve(), set[Path]()
    left = [folder / name for name in names]
    while left:
        path = left.pop()
        if path.is_symlink():
            target = path.resolve()
            if not target.is_relative_to(root):
                yield path
                continue
            path = target
        if path in seen or not path.is_dir():
            continue
        seen.add(path)
        with os.scandir(path) as entries:
            left += [Path(entry.path) for entry in entries if entry.is_symlink() or entry.is_dir()]

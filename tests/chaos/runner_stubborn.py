"""A saboteur of P8: a runner that takes its place back whoever has it, as often as it is taken."""

from __future__ import annotations

import sys
from typing import Any

from headwater.cli.main import main
from headwater.processing.rivals import Rivals


def unmoved(self: Any, error: Any) -> None:
    """In place of `note`: no replacement is one too many."""


if __name__ == "__main__":
    Rivals.note = unmoved  # type: ignore[method-assign]
    sys.argv = ["headwater", "run", *sys.argv[1:]]
    main()

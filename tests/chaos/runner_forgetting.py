"""A saboteur of P5: a runner that remembers its inputs again but for one event in each of its reads."""

from __future__ import annotations

import sys
from typing import Any

from headwater.cli.main import main
from headwater.processing.recollection import Recollection

_changes = Recollection.changes


def forgetting(self: Any) -> Any:
    """All but the last of them."""
    return _changes(self)[:-1]


if __name__ == "__main__":
    Recollection.changes = forgetting  # type: ignore[method-assign]
    sys.argv = ["headwater", "run", *sys.argv[1:]]
    main()

"""A saboteur of H1: `headwater` whose readers see what no transaction has decided yet."""

from __future__ import annotations

from typing import Any

from headwater.cli.main import main
from headwater.ports import kafka

_settings = kafka.consumer_settings


def loose(*arguments: Any) -> dict[str, Any]:
    """The settings of a reader, but for one."""
    return {**_settings(*arguments), "isolation.level": "read_uncommitted"}


kafka.consumer_settings = loose  # type: ignore[assignment]

if __name__ == "__main__":
    main()

"""Where Faust finds a cluster: its client is another one than ours, and its settings bear other names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headwater.errors import NotSupported


def require_reached(kafka: Mapping[str, str]) -> None:
    """Raises `NotSupported` HW-P211 where Faust would have to be told more of this cluster than its addresses."""
    others = sorted(name for name in kafka if name.startswith(("security.", "sasl.", "ssl.")))
    if others and kafka.get("security.protocol", "PLAINTEXT").upper() != "PLAINTEXT":
        raise NotSupported(
            f"the faust runner cannot reach this cluster: {', '.join(others)}",
            code="HW-P211",
            detail="Faust has a client of its own, and these settings are those of another",
            hint="leave the product to the kafka runner",
        )


def broker_settings(kafka: Mapping[str, str]) -> Mapping[str, Any]:
    """What `faust.App` is told of a cluster; raises as `require_reached`.

    >>> broker_settings({"bootstrap.servers": "one:9092, two:9092"})
    {'broker': ['kafka://one:9092', 'kafka://two:9092']}
    """
    require_reached(kafka)
    addresses = [address.strip() for address in kafka["bootstrap.servers"].split(",")]
    return {"broker": [f"kafka://{address}" for address in addresses]}

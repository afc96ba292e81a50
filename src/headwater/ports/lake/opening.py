"""The lake, opened by whoever needs it; the core works without its libraries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from headwater.ports.lake.refusals import no_library

if TYPE_CHECKING:
    from headwater.ports.lake.catalog_iceberg import IcebergLake


def open_lake(settings: Mapping[str, str]) -> IcebergLake:
    """The tables of an environment's catalogue; raises `CallerFault` HW-I007 without PyIceberg, else HW-I016."""
    try:
        from headwater.ports.lake.catalog_iceberg import IcebergLake, open_catalog
    except ImportError:
        raise no_library() from None
    return IcebergLake(open_catalog(settings))

"""Where an ODCS document carries what the standard has no key for: custom properties, in the form of its edition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headwater.errors import CallerFault

VENDOR = "headwater"
_PREFIX = f"{VENDOR}."

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Edition:
    """An edition of the standard that Headwater writes. `modern` is 3.2: it knows vendors, enums and maps."""

    api_version: str
    modern: bool

    def own(self, name: str, value: Any) -> JsonObject:
        """One thing of Headwater's as a custom property.

        >>> EDITIONS["3.1"].own("key", ["origin"])
        {'property': 'headwater.key', 'value': ['origin']}
        """
        if self.modern:
            return {"property": name, "value": value, "vendor": VENDOR}
        return {"property": _PREFIX + name, "value": value}

    def all_own(self, values: Mapping[str, Any]) -> list[JsonObject]:
        """Several of them, in order."""
        return [self.own(name, value) for name, value in values.items()]


EDITIONS = {"3.2": Edition("v3.2.0", True), "3.1": Edition("v3.1.0", False)}


def edition(text: str) -> Edition:
    """The edition of `3.2`, `3.2.0` or `v3.2.0`; raises `CallerFault` HW-C100."""
    short = ".".join(text.removeprefix("v").split(".")[:2])
    if short not in EDITIONS:
        raise CallerFault(f"ODCS '{text[:20]}' is not written", code="HW-C100", hint=f"one of {', '.join(EDITIONS)}")
    return EDITIONS[short]


def own_name(custom: Mapping[str, Any]) -> str:
    """The name, where a custom property is Headwater's, in either edition's form; else empty.

    >>> own_name({"property": "key", "vendor": "headwater"}), own_name({"property": "headwater.key"})
    ('key', 'key')
    """
    name = custom.get("property")
    if not isinstance(name, str):
        return ""
    if custom.get("vendor") == VENDOR:
        return name
    return name.removeprefix(_PREFIX) if name.startswith(_PREFIX) and "vendor" not in custom else ""


def read_own(element: Mapping[str, Any]) -> JsonObject:
    """What is Headwater's among an element's custom properties, by name."""
    return {own_name(custom): custom.get("value") for custom in _customs(element) if own_name(custom)}


def foreign_customs(element: Mapping[str, Any]) -> list[JsonObject]:
    """The custom properties of others."""
    return [dict(custom) for custom in _customs(element) if not own_name(custom)]


def _customs(element: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    customs = element.get("customProperties")
    return [custom for custom in customs if isinstance(custom, Mapping)] if isinstance(customs, list) else []

"""What a contract promises, as the keys of a `product.yaml`: our own exactly, others by the nearest."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any

from headwater.catalog.standards.foreign import Document
from headwater.catalog.standards.odcs import own_quality
from headwater.catalog.standards.odcs_fields import avro_name
from headwater.catalog.standards.odcs_own import JsonObject, read_own
from headwater.contracts.environment import MeshFile
from headwater.contracts.keys import FOREVER
from headwater.contracts.product import PARTITIONS_DEFAULT, Capture, Compatibility, ProductType
from headwater.errors import Finding
from headwater.timeline.instant import Duration

OUTBOX_TABLE = "public.outbox"
_UNITS = {
    **dict.fromkeys(("us", "microsecond", "microseconds"), "us"),
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "minute", "minutes"), "min"),
    **dict.fromkeys(("h", "hr", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
}
_DAYS = {**dict.fromkeys(("w", "week", "weeks"), 7), **dict.fromkeys(("y", "yr", "year", "years"), 365)}


@dataclass(frozen=True, slots=True)
class Terms:
    """The keys of `product.yaml` below its name; the output's own name and schema are in its first output."""

    values: JsonObject
    findings: tuple[Finding, ...]


def product_words(contract: JsonObject, value: JsonObject) -> tuple[str, str]:
    """Domain and product: from our own contract's name, else from the contract's words, brought to our letters.

    >>> product_words({"domain": "Sales", "name": "Customer Orders", "schema": [{}]}, {"name": "orders"})
    ('sales', 'customer_orders')
    """
    name = str(contract.get("name") or contract.get("dataProduct") or contract.get("id") or value.get("name") or "")
    if re.fullmatch(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*", name) and "__" not in name:
        domain, _, word = name.partition(".")
    else:
        domain, word = str(contract.get("domain") or contract.get("tenant") or "imported"), name
    if len(listed(contract, "schema")) > 1:
        word = str(value.get("name") or word)
    return _word(domain, "imported"), _word(word, "contract")


def product_terms(contract: Document, path: str, value: JsonObject, *, mesh: MeshFile, record: JsonObject) -> Terms:
    """What the contract says of one schema object and of itself; `path` is the object's, `record` its Avro schema."""
    reading = _Reading(contract, path, value, mesh, record)
    own = read_own(contract.value)
    kinds = tuple(ProductType)
    kind = own.get("productType") if own.get("productType") in kinds else ProductType.SOURCE_ALIGNED
    values: JsonObject = {
        "version": _version(contract.value.get("version")),
        "type": str(kind),
        "owner": reading.owner(),
        "purpose": reading.purpose(),
    }
    if kind == ProductType.SOURCE_ALIGNED:
        values |= reading.origin(own)
    elif isinstance(own.get("inputs"), list):
        values["inputs"] = own["inputs"]
    return Terms({**values, "outputs": [reading.output(own)]}, tuple(reading.findings))


class _Reading:
    def __init__(self, contract: Document, path: str, value: JsonObject, mesh: MeshFile, record: JsonObject) -> None:
        self.contract, self.path, self.value, self.mesh, self.record = contract, path, value, mesh, record
        self.findings: list[Finding] = []

    def assume(self, path: str, message: str, fix: str) -> None:
        self.findings.append(
            self.contract.finding("HW-C109", path, message, severity="warning", why="a product says it", fix=fix)
        )

    def owner(self) -> JsonObject:
        team, support = self.contract.value.get("team"), self.contract.value.get("support")
        first = next((item for item in support if isinstance(item, dict)), {}) if isinstance(support, list) else {}
        named = team.get("name") if isinstance(team, dict) else None
        members = team.get("members") if isinstance(team, dict) else None
        member = next((item for item in members if isinstance(item, dict)), {}) if isinstance(members, list) else {}
        name = _line(named) or _line(member.get("name")) or _line(member.get("username"))
        contact = _line(first.get("channel")) or _line(first.get("url")) or _line(member.get("username"))
        if not name:
            self.assume("team", "the contract names no team: 'unknown' was taken", "write owner.team in product.yaml")
        if not contact:
            self.assume("support", "the contract names no contact: 'unknown' was taken", "write owner.contact")
        return {"team": name or "unknown", "contact": contact or "unknown"}

    def purpose(self) -> str:
        description = self.contract.value.get("description")
        said = description.get("purpose") if isinstance(description, dict) else description
        text = _line(said, 2000) or _line(self.value.get("description"), 2000)
        if not text:
            self.assume("description", "the contract says no purpose: its name was taken", "write purpose")
        return text or _line(self.contract.value.get("name")) or "Imported from a contract."

    def origin(self, own: JsonObject) -> JsonObject:
        said = own.get("outbox")
        if isinstance(said, dict) and set(said) - {"validate"} == {"database", "table"}:
            return {"outbox": said}
        captured = own.get("capture")
        if isinstance(captured, dict) and set(captured) == {part.name for part in fields(Capture)}:
            return {"capture": captured}
        database = next(iter(self.mesh.databases), "operations")
        message = f"the contract says no outbox: {OUTBOX_TABLE} of {database} was taken"
        self.assume("customProperties", message, "write outbox.database and outbox.table in product.yaml")
        return {"outbox": {"database": database, "table": OUTBOX_TABLE}}

    def output(self, root: JsonObject) -> JsonObject:
        own = read_own(self.value)
        names = {field["name"] for field in self.record["fields"]}
        topic = own.get("topicConfig")
        output: JsonObject = {
            "name": own.get("output") or ("events" if "event_id" in names else "facts"),
            "key": own.get("key") or self.key(),
            "compatibility": own.get("compatibility") or str(Compatibility.BACKWARD_TRANSITIVE),
            "retention": self.retention(),
            "partitions": topic.get("partitions", PARTITIONS_DEFAULT)
            if isinstance(topic, dict)
            else PARTITIONS_DEFAULT,
            "ports": root.get("ports") or ["topic"],
        }
        levels = root.get("serviceLevels") or self.levels()
        quality = [self.quality(check) for check in listed(self.value, "quality") if own_quality(check)]
        for name, value in (("service_levels", levels), ("quality", quality)):
            if value:
                output[name] = value
        for key, name in (("on_invalid", "onInvalid"), ("corrections", "corrections"), ("access", "access"),
                          ("accept_late", "acceptLate"), ("grid", "grid")):  # fmt: skip
            if own.get(name):
                output[key] = own[name]
        return output

    def key(self) -> list[str]:
        properties = [item for item in listed(self.value, "properties") if isinstance(item, dict)]
        keys = [item for item in properties if item.get("primaryKey") in (True, "true", "yes")]
        keys.sort(key=lambda item: position if isinstance(position := item.get("primaryKeyPosition"), int) else 0)
        if not keys:
            message, why = "no property is a primary key", "a record's key decides its partition"
            fix = "add primaryKey: true to the properties that identify a record"
            self.findings.append(self.contract.finding("HW-C110", f"{self.path}.properties", message, why=why, fix=fix))
            return [self.record["fields"][0]["name"]]
        return [avro_name(str(item.get("name"))) for item in keys]

    def quality(self, check: JsonObject) -> JsonObject:
        return {"name": check.get("name"), "rule": check["implementation"], "severity": check.get("severity", "error")}

    def retention(self) -> str:
        level = self.level("retention")
        return (_duration(level) if level else "") or FOREVER

    def levels(self) -> JsonObject:
        levels: JsonObject = {}
        latency = self.level("latency")
        if latency and (text := _duration(latency)):
            levels["latency_p99"] = text
        for name in ("completeness", "availability"):
            level = self.level(name)
            text = _percent(level) if level else ""
            if text:
                levels[name] = text
        return levels

    def level(self, name: str) -> JsonObject:
        """The service level of this name for this object."""
        for level in listed(self.contract.value, "slaProperties"):
            if isinstance(level, dict) and str(level.get("property", "")).lower() == name and self.meant(level):
                return level
        return {}

    def meant(self, level: JsonObject) -> bool:
        elements = [part.strip().partition(".")[0] for part in str(level.get("element") or "").split(",")]
        return elements == [""] or str(self.value.get("name")) in elements


def listed(value: JsonObject, name: str) -> list[Any]:
    """A list of a contract's, empty where the contract has none or something else there."""
    found = value.get(name)
    return found if isinstance(found, list) else []


def level_amount(level: JsonObject) -> tuple[str, object] | None:
    """What a service level promises, whatever its unit; None where it is no time and no share.

    >>> level_amount({"value": 1, "unit": "min"}) == level_amount({"value": 60, "unit": "s"})
    True
    """
    text = _duration(level)
    if text:
        return ("time", int(Duration.parse(text)))
    share = _percent(level).removesuffix("%").strip()
    return ("share", float(share)) if re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{1,9})?", share) else None


def _duration(level: JsonObject) -> str:
    number, unit = level.get("value"), str(level.get("unit") or "").lower()
    if isinstance(number, str) and not unit:
        match = re.fullmatch(r"([0-9]+)\s*([A-Za-z]+)", number.strip())
        number, unit = (int(match[1]), match[2].lower()) if match else (None, "")
    if isinstance(number, str) and number.isascii() and number.isdigit():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 10**9:
        return ""
    if unit in _DAYS:
        return f"{number * _DAYS[unit]}d"
    return f"{number}{_UNITS[unit]}" if unit in _UNITS else ""


def _percent(level: JsonObject) -> str:
    text = str(level.get("value")).strip()
    unit = str(level.get("unit") or "").lower()
    if text.endswith("%"):
        return text
    return f"{text}%" if unit in ("%", "percent") else ""


def _version(said: Any) -> str:
    parts = str(said if said is not None else "").removeprefix("v").split(".")
    if 1 <= len(parts) <= 3 and all(part.isascii() and part.isdigit() and len(part) <= 6 for part in parts):
        return ".".join([*parts, "0", "0"][:3])
    return "1.0.0"


def _word(text: str, otherwise: str) -> str:
    word = re.sub(r"[^a-z0-9]+", "_", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text).lower()).strip("_")
    word = re.sub(r"_+", "_", word)[:80].strip("_")
    return word if word and word[0].isalpha() else f"{otherwise}_{word}".strip("_")


def _line(value: Any, limit: int = 200) -> str:
    """Text in one line, at most so long: what is cut is said, since it does not come back."""
    if isinstance(value, str) and len(value) <= limit and re.fullmatch(r"\S(?:[^\x00-\x1f]*\S)?", value):
        return value
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return re.sub(r"[\x00-\x1f]", "", text)[:limit].strip()

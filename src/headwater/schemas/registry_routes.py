"""The paths of the Confluent REST API, one function each: what a request means, and what its answer holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from headwater.schemas import registry_errors as codes
from headwater.schemas.registry_errors import RegistryRefusal
from headwater.schemas.registry_service import RegistryService
from headwater.schemas.registry_state import Stored, context_of

Item = TypeVar("Item")


@dataclass
class Call:
    """One request: its path cut and decoded, its query, its body; `prefix` is the context in the path, if any."""

    service: RegistryService
    method: str
    segments: list[str]
    query: dict[str, str]
    prefix: str = ""
    body: dict[str, Any] = field(default_factory=dict)

    def subject(self, index: int) -> str:
        """The subject in the path, with its context; the default context's prefix is left out."""
        name = self.segments[index].removeprefix(":.:")
        return name if name.startswith(":.") or not self.prefix else self.prefix + name

    def flag(self, name: str) -> bool:
        """A flag of the query."""
        return self.query.get(name, "false").lower() in ("true", "1", "")

    def number(self, name: str, default: int) -> int:
        """A number of the query."""
        text = self.query.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path; `*` stands for any segment."""

    method: str
    path: tuple[str, ...]
    answer: Callable[[Call], Any]
    body: bool = False
    writes: bool = False


def _page(call: Call, items: Sequence[Item]) -> Sequence[Item]:
    start, count = call.number("offset", 0), call.number("limit", -1)
    return items[start:] if count < 0 else items[start : start + count]


def _listed(call: Call, items: Iterable[tuple[Item, bool]]) -> list[Item]:
    """What a list shows of items that may be deleted: the living, all, or the deleted only."""
    if call.flag("deletedOnly") or call.flag("deleted_only"):
        return [item for item, deleted in items if deleted]
    every = call.flag("deleted")
    return [item for item, deleted in items if every or not deleted]


def _version(stored: Stored) -> dict[str, Any]:
    head = {"subject": stored.subject, "version": stored.version, "id": stored.id, "guid": stored.guid}
    return {**head, **stored.body(), **({"deleted": True} if stored.deleted else {})}


def _text(call: Call, stored: Stored) -> dict[str, Any]:
    """The members of a schema; `format=resolved` writes the referenced types out."""
    body = stored.body()
    if call.query.get("format") == "resolved" and stored.kind == "AVRO":
        body["schema"] = json.dumps(call.service.schema_of(stored).inlined, ensure_ascii=False, separators=(",", ":"))
    return body


def _id(call: Call) -> Stored:
    text = call.segments[2]
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise RegistryRefusal(codes.NOT_FOUND, "HTTP 404 Not Found")
    return call.service.by_id(int(text), _scope(call))


def _scope(call: Call) -> str:
    subject = call.query.get("subject", "").removeprefix(":.:")
    return subject if subject.startswith(":.") or not call.prefix else call.prefix + subject


def _schema_by_id(call: Call) -> Any:
    stored = _id(call)
    answer = {**_text(call, stored), "guid": stored.guid}
    if call.flag("fetchMaxId"):
        answer["maxId"] = call.service.state.highest_id(context_of(stored.subject))
    return answer


def _schema_by_guid(call: Call) -> Any:
    stored = call.service.state.by_guid(call.segments[2])
    if stored is None:
        raise RegistryRefusal(codes.SCHEMA_NOT_FOUND, "Schema not found")
    return {**_text(call, stored), "id": stored.id, "guid": stored.guid}


def _places_of_id(call: Call) -> list[Stored]:
    stored = _id(call)
    found = call.service.state.by_id(context_of(stored.subject), stored.id)
    return _listed(call, ((one, one.deleted) for one in found))


def _subjects(call: Call) -> Any:
    prefix = call.query.get("subjectPrefix", ":*:")
    names = _listed(call, call.service.state.subjects())
    if prefix != ":*:":
        wanted = prefix.removeprefix(":.:")
        names = [name for name in names if name.startswith(wanted) and (wanted or not name.startswith(":."))]
    if call.prefix:
        names = [name for name in names if name.startswith(call.prefix)]
    return _page(call, names)


def _schemas(call: Call) -> Any:
    state = call.service.state
    found = []
    for subject, _ in state.subjects():
        if subject.startswith(call.query.get("subjectPrefix", "").removeprefix(":*:")):
            versions = state.versions(subject, deleted=call.flag("deleted"))
            found += versions[-1:] if call.flag("latestOnly") else versions
    return [_version(stored) for stored in _page(call, found)]


def _find(call: Call) -> Any:
    normalize, deleted = call.flag("normalize"), call.flag("deleted")
    return _version(call.service.find(call.subject(1), call.body, normalize=normalize, deleted=deleted))


def _register(call: Call) -> Any:
    stored = call.service.register(call.subject(1), call.body, normalize=call.flag("normalize"))
    return {"id": stored.id, "version": stored.version, "guid": stored.guid}


def _versions(call: Call) -> Any:
    found = call.service.state.versions(call.subject(1), deleted=True)
    shown = _listed(call, ((stored.version, stored.deleted) for stored in found))
    if not shown:
        raise RegistryRefusal(codes.SUBJECT_NOT_FOUND, f"Subject '{call.subject(1)}' not found.")
    return _page(call, shown)


def _one_version(call: Call) -> Any:
    stored = call.service.get(call.subject(1), call.segments[3], deleted=call.flag("deleted"))
    return {**_version(stored), **_text(call, stored)}


def _version_text(call: Call) -> bytes:
    return call.service.get(call.subject(1), call.segments[3], deleted=call.flag("deleted")).text.encode()


def _referenced_by(call: Call) -> Any:
    stored = call.service.get(call.subject(1), call.segments[3], deleted=True)
    referrers = call.service.state.referrers(stored.subject, stored.version)
    return _page(call, sorted({referrer.id for referrer in referrers}))


def _delete_subject(call: Call) -> Any:
    return call.service.delete_subject(call.subject(1), permanent=_permanent(call))


def _delete_version(call: Call) -> Any:
    return call.service.delete_version(call.subject(1), call.segments[3], permanent=_permanent(call))


def _permanent(call: Call) -> bool:
    return call.flag("permanent")


def _metadata(call: Call) -> Any:
    versions = call.service.state.versions(call.subject(1), deleted=call.flag("deleted"))
    wanted = dict(zip(call.query.get("key", "").split(","), call.query.get("value", "").split(","), strict=False))
    for stored in reversed(versions):
        properties = (stored.metadata or {}).get("properties") or {}
        if all(properties.get(key) == value for key, value in wanted.items()):
            return {**_version(stored), **_text(call, stored)}
    raise RegistryRefusal(codes.SUBJECT_NOT_FOUND if not versions else codes.SCHEMA_NOT_FOUND, "Schema not found")


def _compatibility(call: Call) -> Any:
    number = call.segments[4] if len(call.segments) == 5 else None
    fine, reasons = call.service.incompatibilities(call.subject(2), call.body, number, normalize=call.flag("normalize"))
    verbose = call.flag("verbose")
    return {"is_compatible": fine, **({"messages": reasons} if verbose else {})}


def _own_subject(call: Call) -> str | None:
    return call.subject(1) if len(call.segments) > 1 else (call.prefix or None)


def _get_config(call: Call) -> Any:
    subject = _own_subject(call)
    own = call.service.state.config(subject)
    if subject is not None and own is None and not call.flag("defaultToGlobal"):
        raise RegistryRefusal(
            codes.LEVEL_NOT_FOUND, f"Subject '{subject}' does not have subject-level compatibility configured"
        )
    return {**(own or {}), "compatibilityLevel": call.service.level_of(subject)}


def _get_mode(call: Call) -> Any:
    subject = _own_subject(call)
    given = call.flag("defaultToGlobal")
    if subject is not None and call.service.state.mode(subject) is None and not given:
        raise RegistryRefusal(codes.MODE_NOT_FOUND, f"Subject '{subject}' does not have subject-level mode configured")
    return {"mode": call.service.mode_of(subject)}


def _set_mode(call: Call) -> Any:
    force = call.flag("force")
    return {"mode": call.service.set_mode(_own_subject(call), call.body.get("mode"), force=force)}


_ROUTES: Final = (
    Route("GET", ("schemas", "ids", "*"), _schema_by_id),
    Route("GET", ("schemas", "guids", "*"), _schema_by_guid),
    Route("GET", ("schemas", "ids", "*", "schema"), lambda call: _id(call).text.encode()),
    Route("GET", ("schemas", "ids", "*", "subjects"), lambda call: sorted({s.subject for s in _places_of_id(call)})),
    Route(
        "GET",
        ("schemas", "ids", "*", "versions"),
        lambda call: [{"subject": stored.subject, "version": stored.version} for stored in _places_of_id(call)],
    ),
    Route("GET", ("schemas", "types"), lambda call: ["AVRO"]),
    Route("GET", ("schemas",), _schemas),
    Route("GET", ("subjects",), _subjects),
    Route("POST", ("subjects", "*"), _find, body=True),
    Route("DELETE", ("subjects", "*"), _delete_subject, writes=True),
    Route("GET", ("subjects", "*", "versions"), _versions),
    Route("POST", ("subjects", "*", "versions"), _register, body=True, writes=True),
    Route("GET", ("subjects", "*", "metadata"), _metadata),
    Route("GET", ("subjects", "*", "versions", "*"), _one_version),
    Route("DELETE", ("subjects", "*", "versions", "*"), _delete_version, writes=True),
    Route("GET", ("subjects", "*", "versions", "*", "schema"), _version_text),
    Route("GET", ("subjects", "*", "versions", "*", "referencedby"), _referenced_by),
    Route("POST", ("compatibility", "subjects", "*", "versions"), _compatibility, body=True),
    Route("POST", ("compatibility", "subjects", "*", "versions", "*"), _compatibility, body=True),
    Route("GET", ("config",), _get_config),
    Route("GET", ("config", "*"), _get_config),
    Route("PUT", ("config",), lambda c: c.service.set_config(_own_subject(c), c.body), body=True, writes=True),
    Route("PUT", ("config", "*"), lambda c: c.service.set_config(_own_subject(c), c.body), body=True, writes=True),
    Route("DELETE", ("config",), lambda call: call.service.delete_config(_own_subject(call)), writes=True),
    Route("DELETE", ("config", "*"), lambda call: call.service.delete_config(_own_subject(call)), writes=True),
    Route("GET", ("mode",), _get_mode),
    Route("GET", ("mode", "*"), _get_mode),
    Route("PUT", ("mode",), _set_mode, body=True, writes=True),
    Route("PUT", ("mode", "*"), _set_mode, body=True, writes=True),
    Route("DELETE", ("mode", "*"), lambda call: {"mode": call.service.delete_mode(call.subject(1))}, writes=True),
    Route("GET", ("contexts",), lambda call: _page(call, call.service.state.contexts())),
    Route("GET", ("",), lambda call: {}),
)
ROUTES: Final = {length: tuple(route for route in _ROUTES if len(route.path) == length) for length in range(1, 7)}

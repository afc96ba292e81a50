"""The small functions that generated modules carry along, so that they need nothing but the standard library."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

# Each with what it needs itself: other functions, and imports as `module:name`, or `module` alone.
SUPPORT: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "_optional": (
        '''\
def _optional(convert: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else convert(value)
''',
        ("collections.abc:Callable", "typing:Any"),
    ),
    "_microseconds": (
        '''\
def _microseconds(value: dt.datetime) -> int:
    if value.utcoffset() is None:
        raise ValueError("an instant needs a time zone")
    return (value - _EPOCH) // dt.timedelta(microseconds=1)
''',
        ("_EPOCH",),
    ),
    "_whole_milliseconds": (
        '''\
def _whole_milliseconds(value: dt.datetime) -> int:
    microseconds = _microseconds(value)
    if microseconds % 1000:
        raise ValueError("an instant of whole milliseconds has microseconds")
    return microseconds
''',
        ("_microseconds",),
    ),
    "_instant": (
        '''\
def _instant(microseconds: int) -> dt.datetime:
    try:
        return _EPOCH + dt.timedelta(microseconds=microseconds)
    except OverflowError:
        raise ValueError("an instant is outside of the years 1 to 9999") from None
''',
        ("_EPOCH",),
    ),
    "_EPOCH": ("_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)\n", ("datetime as dt",)),
    "_in_utc": (
        '''\
def _in_utc(value: dt.datetime) -> dt.datetime:
    return value.astimezone(dt.UTC)
''',
        ("datetime as dt",),
    ),
    "_uuid": (
        '''\
def _uuid(text: str) -> UUID:
    value = UUID(text)
    if str(value) != text:
        raise ValueError("not a UUID in its usual form")
    return value
''',
        ("uuid:UUID",),
    ),
    "_exact": (
        '''\
def _exact(value: Decimal, precision: int, scale: int) -> Decimal:
    context = Context(prec=precision, traps=[Inexact, InvalidOperation])
    try:
        if value.is_finite():
            return value.quantize(Decimal((0, (1,), -scale)), context=context)
    except (Inexact, InvalidOperation):
        pass
    raise ValueError(f"a value does not fit decimal({precision}, {scale})")
''',
        ("decimal:Context", "decimal:Decimal", "decimal:Inexact", "decimal:InvalidOperation"),
    ),
    "_sized": (
        '''\
def _sized(value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise ValueError(f"a value does not have {size} bytes")
    return value
''',
        (),
    ),
}  # fmt: skip
_BEFORE_CLASSES: Final = ("_in_utc",)  # what annotations call; the others are called when all is defined


def decimal_check(precision: int, scale: int) -> tuple[str, str]:
    """The name and the text of the function that holds a decimal against its precision and scale."""
    name = f"_decimal_{precision}_{scale}"
    return name, f"def {name}(value: Decimal) -> Decimal:\n    return _exact(value, {precision}, {scale})\n"


def size_check(size: int) -> tuple[str, str]:
    """The name and the text of the function that holds bytes against the size of their fixed."""
    name = f"_fixed_{size}"
    return name, f"def {name}(value: bytes) -> bytes:\n    return _sized(value, {size})\n"


def complete(needs: Collection[str]) -> set[str]:
    """What is needed, with what that needs.

    >>> sorted(complete({"_instant"}))
    ['_EPOCH', '_instant', 'datetime as dt']
    """
    found: set[str] = set()
    open_needs = list(needs)
    while open_needs:
        need = open_needs.pop()
        if need not in found:
            found.add(need)
            open_needs += SUPPORT[need][1] if need in SUPPORT else ()
    return found


def early_support(needs: Collection[str]) -> list[str]:
    """The texts that stand before the classes, in order."""
    return [SUPPORT[name][0] for name in _BEFORE_CLASSES if name in needs]


def late_support(needs: Collection[str]) -> list[str]:
    """The texts that stand behind the classes, in order."""
    return [text for name, (text, _) in SUPPORT.items() if name in needs and name not in _BEFORE_CLASSES]


def import_lines(needs: Collection[str]) -> list[str]:
    """The import statements for what is needed, sorted as linters sort them; pydantic in a block of its own.

    >>> import_lines({"datetime as dt", "uuid:UUID", "pydantic:Field"})
    ['import datetime as dt', 'from uuid import UUID', '', 'from pydantic import Field']
    """
    plain = sorted(need for need in needs if ":" not in need and need not in SUPPORT)
    modules: dict[str, list[str]] = {}
    for need in needs:
        if ":" in need:
            module, name = need.split(":")
            modules.setdefault(module, []).append(name)
    lines = [f"import {name}" for name in plain]
    lines += [f"from {module} import {', '.join(sorted(modules[module]))}" for module in sorted(modules)
              if module != "pydantic"]  # fmt: skip
    if "pydantic" in modules:
        lines += ["", f"from pydantic import {', '.join(sorted(modules['pydantic']))}"]
    return lines

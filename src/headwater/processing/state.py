"""State of one task (one partition of one stage): an ordered map of bytes, and what a batch changes in it.

A store is written only after the transaction that carries its changes has committed. Until then the changes lie in an
`Overlay`, through which operators read; dropping the overlay undoes the batch. Keys begin with the name of a table and
a zero byte, so that tables of a task never meet. `state_rocksdb` keeps a store on disk, `state_changelog` mirrors one.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

Change = tuple[bytes, bytes | None]
"""A key and its new value; None deletes."""

Span = tuple[bytes, bytes]
"""The keys from the first to before the second."""

CACHE_LIMIT = 10_000  # values a task keeps unpacked, some hundred bytes each; a process has dozens of tasks
_MISSING = object()
_NO_MORE = (-1, b"", b"")
_AS_IT_IS = bytes  # how a value that was put packed is packed


class StateStore(Protocol):
    """An ordered map of bytes to bytes. One thread uses it."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""

    def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """The value of each of these keys, or None: in one step, which costs less than one by one."""

    def scan(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Entries with `start <= key < end` in order of their bytes, from the last backwards if `reverse`.

        Lazy: a caller that wants the first entry only stops there. The store is not written while a scan is open.
        """

    def scan_many(self, spans: Sequence[Span]) -> Iterator[tuple[int, bytes, bytes]]:
        """The entries of spans that lie in order and apart, each with the number of its span: in one walk, which costs
        less than a scan for each.
        """

    def apply(self, changes: Iterable[Change]) -> None:
        """Write all of these, as one; called after the transaction that carries them has committed."""

    def close(self) -> None:
        """Let go."""


class MemoryStore:
    """A store in this process. Forgets at exit.

    >>> store = MemoryStore()
    >>> store.apply([(b"b", b"2"), (b"a", b"1"), (b"c", b"3"), (b"c", None)])
    >>> store.get(b"a"), list(store.scan(b"a", b"z", reverse=True))
    (b'1', [(b'b', b'2'), (b'a', b'1')])
    """

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        # The keys in order; None until a scan asks for it after a write.
        self._ordered: list[bytes] | None = []

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        return self._values.get(key)

    def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """The value of each of these keys, or None."""
        return [self._values.get(key) for key in keys]

    def scan(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Entries with `start <= key < end`, in order."""
        if self._ordered is None:
            self._ordered = sorted(self._values)
        first, last = bisect_left(self._ordered, start), bisect_left(self._ordered, end)
        for position in range(last - 1, first - 1, -1) if reverse else range(first, last):
            key = self._ordered[position]
            yield key, self._values[key]

    def scan_many(self, spans: Sequence[Span]) -> Iterator[tuple[int, bytes, bytes]]:
        """The entries of spans that lie in order and apart, each with the number of its span."""
        for number, span in enumerate(spans):
            for key, value in self.scan(*span):
                yield number, key, value

    def apply(self, changes: Iterable[Change]) -> None:
        """Write all of these."""
        for key, value in changes:
            if value is None:
                if self._values.pop(key, None) is not None:
                    self._ordered = None
            else:
                if key not in self._values:
                    self._ordered = None
                self._values[key] = value

    def close(self) -> None:
        """Nothing to let go of."""


class Overlay:
    """What a batch changed, over a store: values unpacked, so that a key that many ticks touch is packed once."""

    def __init__(self, store: StateStore) -> None:
        self.store = store
        # Changed keys: value and how to pack it; the value None deletes.
        self.dirty: dict[bytes, tuple[Any, Callable[[Any], bytes]]] = {}
        # Changed keys of tables that are scanned, in order.
        self.ordered: dict[bytes, list[bytes]] = {}
        # Unpacked values as the store has them.
        self.clean: dict[bytes, Any] = {}

    def changes(self) -> list[Change]:
        """All changes, packed, in the order of first touch."""
        return [(key, None if value is None else pack(value)) for key, (value, pack) in self.dirty.items()]

    def committed(self) -> None:
        """The store has the changes now; of a great many the last ones are kept unpacked."""
        if len(self.clean) + len(self.dirty) > CACHE_LIMIT:
            self.clean.clear()
        for key, (value, pack) in islice(reversed(self.dirty.items()), CACHE_LIMIT):
            if pack is _AS_IT_IS:
                self.clean.pop(key, None)
            else:
                self.clean[key] = value
        self.dirty.clear()
        self.ordered.clear()


class Table:
    """A named part of an overlay with values of one form; `scanned` tables can be read in order of their keys.

    >>> table = Table(Overlay(MemoryStore()), "numbers", lambda n: str(n).encode(), int, scanned=True)
    >>> table.put(b"b", 2); table.put(b"a", 1); table.put(b"b", None)
    >>> table.get(b"a"), table.get(b"b"), list(table.scan(b"", b"z"))
    (1, None, [(b'a', 1)])
    """

    def __init__(
        self,
        overlay: Overlay,
        name: str,
        pack: Callable[[Any], bytes],
        unpack: Callable[[bytes], Any],
        *,
        scanned: bool = False,
        unpack_many: Callable[[Sequence[bytes]], Sequence[Any]] | None = None,
    ) -> None:
        self._prefix = name.encode() + b"\0"
        self._dirty = overlay.dirty
        self._clean = overlay.clean
        self._ordered = overlay.ordered
        self._store = overlay.store
        self._pack = pack
        self._unpack = unpack
        self._unpack_many = unpack_many or (lambda bodies: [unpack(body) for body in bodies])
        self._scanned = scanned

    def get(self, key: bytes) -> Any:
        """The value of a key, or None. Values are not to be changed in place."""
        full = self._prefix + key
        dirty = self._dirty.get(full)
        if dirty is not None:
            return self._plain(*dirty)
        value = self._clean.get(full, _MISSING)
        if value is _MISSING:
            packed = self._store.get(full)
            value = self._clean[full] = None if packed is None else self._unpack(packed)
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[Any]:
        """The value of each key, or None; what only the store has is asked of it in one step."""
        prefix, dirty, clean = self._prefix, self._dirty, self._clean
        fulls = [prefix + key for key in keys]
        found = [
            clean.get(full, _MISSING)
            if (entry := dirty.get(full)) is None
            else entry[0]
            if entry[1] is not _AS_IT_IS
            else self._unpack(entry[0])
            for full in fulls
        ]
        missing = [full for full, value in zip(fulls, found, strict=True) if value is _MISSING]
        if missing:
            stored = self._store.get_many(missing)
            unpacked = iter(self._unpack_many([packed for packed in stored if packed is not None]))
            for full, packed in zip(missing, stored, strict=True):
                clean[full] = None if packed is None else next(unpacked)
            found = [clean[full] if value is _MISSING else value for full, value in zip(fulls, found, strict=True)]
        return found

    def put_many(self, keys: Sequence[bytes], values: Sequence[Any]) -> None:
        """Set many values, none of them None, of a table that is not scanned."""
        assert not self._scanned, "puts of a scanned table are kept in order"
        prefix, pack = self._prefix, self._pack
        self._dirty.update((prefix + key, (value, pack)) for key, value in zip(keys, values, strict=True))

    def put_packed(self, keys: Sequence[bytes], bodies: Sequence[bytes]) -> None:
        """Set many values that are packed already: they are unpacked only where they are read."""
        fulls = [self._prefix + key for key in keys]
        if self._scanned:
            ordered = self._ordered.setdefault(self._prefix, [])
            ordered += [full for full in fulls if full not in self._dirty]
            ordered.sort()
        self._dirty.update((full, (body, _AS_IT_IS)) for full, body in zip(fulls, bodies, strict=True))

    def has_many(self, keys: Sequence[bytes]) -> list[bool]:
        """Whether each of these keys has a value; what the store has is asked in one step, and not kept."""
        return [value is not None for value, _ in self._held(keys)]

    def packed_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each of these keys as it is packed, or None; what the store has is asked in one step, and not
        kept.
        """
        return [None if value is None else pack(value) for value, pack in self._held(keys)]

    def put(self, key: bytes, value: Any) -> None:
        """Set a value; None deletes."""
        full = self._prefix + key
        if self._scanned and full not in self._dirty:
            insort(self._ordered.setdefault(self._prefix, []), full)
        self._dirty[full] = (value, self._pack)

    def scan(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, Any]]:
        """Entries with `start <= key < end` in order; nothing may be put while it is open."""
        assert self._scanned, "declare the table as scanned"
        first, last = self._prefix + start, self._prefix + end
        stored = self._store.scan(first, last, reverse=reverse)
        return self._entries(_merged(self._dirty_between(first, last, reverse), stored, reverse))

    def scan_many(self, spans: Sequence[Span]) -> Iterator[tuple[int, bytes, Any]]:
        """The entries of spans that lie in order and apart, each with the number of its span; nothing may be put while
        it is open.
        """
        assert self._scanned, "declare the table as scanned"
        fulls = [(self._prefix + start, self._prefix + end) for start, end in spans]
        stored = self._store.scan_many(fulls)
        number, key, packed = next(stored, _NO_MORE)
        for place, (first, last) in enumerate(fulls):
            found = []
            while number == place:
                found.append((key, packed))
                number, key, packed = next(stored, _NO_MORE)
            dirty = self._dirty_between(first, last, False)
            if found or dirty:
                for entry in self._entries(_merged(dirty, found, False)):
                    yield place, *entry

    def _held(self, keys: Sequence[bytes]) -> list[tuple[Any, Callable[[Any], bytes]]]:
        """The value of each key, or None, and how it is packed."""
        fulls = [self._prefix + key for key in keys]
        dirty = self._dirty
        stored = iter(self._store.get_many([full for full in fulls if full not in dirty]))
        return [dirty[full] if full in dirty else (next(stored), _AS_IT_IS) for full in fulls]

    def _entries(self, found: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, Any]]:
        width = len(self._prefix)
        for full, packed in found:
            dirty = self._dirty.get(full)
            if dirty is None:
                yield full[width:], self._unpack(packed)
            elif dirty[0] is not None:
                yield full[width:], self._plain(*dirty)

    def _plain(self, value: Any, pack: Callable[[Any], bytes]) -> Any:
        return self._unpack(value) if pack is _AS_IT_IS else value

    def _dirty_between(self, first: bytes, last: bytes, reverse: bool) -> list[bytes]:
        keys = self._ordered.get(self._prefix, [])
        found = keys[bisect_left(keys, first) : bisect_left(keys, last)]
        return found[::-1] if reverse else found


def _merged(dirty: list[bytes], stored: Iterable[tuple[bytes, bytes]], reverse: bool) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    for key, packed in stored:
        while position < len(dirty) and (dirty[position] > key if reverse else dirty[position] < key):
            yield dirty[position], b""
            position += 1
        if position < len(dirty) and dirty[position] == key:
            position += 1
        yield key, packed
    for key in dirty[position:]:
        yield key, b""

"""State and packing: an overlay reads as the store would after the commit, and order of bytes is order of values."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from headwater.processing.field_types import FieldType
from headwater.processing.measures import measure_type, slot_of
from headwater.processing.packing import RowForm, after, ordered_integer, pack, pack_integer, sized, unpack
from headwater.processing.state import MemoryStore, Overlay, Table

KEYS = st.binary(max_size=2)
PUTS = st.lists(st.tuples(KEYS, st.none() | st.integers(0, 9)), max_size=12)


def table(overlay: Overlay) -> Table:
    return Table(overlay, "t", pack_integer, int, scanned=True)


@given(PUTS, PUTS, KEYS, KEYS, st.booleans())
def test_an_overlay_reads_as_a_map_of_all_that_was_put(
    first: list[tuple[bytes, int | None]],
    second: list[tuple[bytes, int | None]],
    start: bytes,
    end: bytes,
    reverse: bool,
) -> None:
    store, model = MemoryStore(), {}
    overlay = Overlay(store)
    for puts in (first, second):
        store.apply(overlay.changes())
        overlay.committed()
        for key, value in puts:
            table(overlay).put(key, value)
            model[key] = value
    live = {key: value for key, value in model.items() if value is not None}
    for key in model:
        assert table(overlay).get(key) == live.get(key)
    expected = sorted(((key, value) for key, value in live.items() if start <= key < end), reverse=reverse)
    assert list(table(overlay).scan(start, end, reverse=reverse)) == expected
    bounds = sorted({start, end, b"", b"z"})
    spans = list(zip(bounds[::2], bounds[1::2], strict=False))
    within = [
        (number, key, live[key])
        for number, span in enumerate(spans)
        for key in sorted(live)
        if span[0] <= key < span[1]
    ]
    assert list(table(overlay).scan_many(spans)) == within
    assert table(overlay).has_many(list(model)) == [key in live for key in model]
    store.apply(overlay.changes())
    assert list(table(Overlay(store)).scan(start, end, reverse=reverse)) == expected


@given(PUTS, st.lists(st.tuples(KEYS, st.integers(0, 9)), max_size=8), st.booleans())
def test_what_is_put_packed_reads_as_what_is_put(
    puts: list[tuple[bytes, int | None]], more: list[tuple[bytes, int]], commits: bool
) -> None:
    stores = [MemoryStore(), MemoryStore()]
    overlays = [Overlay(store) for store in stores]
    for overlay, store in zip(overlays, stores, strict=True):
        for key, value in puts:
            table(overlay).put(key, value)
        table(overlay).get_many([key for key, _ in more])
        if commits:
            store.apply(overlay.changes())
            overlay.committed()
    last = dict(more)
    table(overlays[0]).put_packed(list(last), [pack_integer(value) for value in last.values()])
    for key, value in last.items():
        table(overlays[1]).put(key, value)
    for _ in range(2):
        read = [
            (
                list(table(one).scan(b"", b"z")),
                [table(one).get(key) for key, _ in puts],
                table(one).get_many(list(last)),
            )
            for one in overlays
        ]
        assert read[0] == read[1]
        assert overlays[0].changes() == overlays[1].changes()
        for overlay, store in zip(overlays, stores, strict=True):
            store.apply(overlay.changes())
            overlay.committed()


@given(st.lists(st.tuples(st.none() | st.text(), st.none() | st.decimals(places=2, allow_nan=False, max_value=999))))
def test_rows_are_unpacked_together_as_one_by_one(rows: list[tuple[str | None, Decimal | None]]) -> None:
    form = RowForm([FieldType("string"), FieldType("decimal", precision=9, scale=2)])
    many = rows * 30  # more than one call of the decoder takes
    assert form.read_many([pack(form.write(row)) for row in many]) == many


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_integers_are_in_order_as_bytes(values: list[int]) -> None:
    assert sorted(values) == sorted(values, key=ordered_integer)


def orders(type_: FieldType, values: list[object]) -> bool:
    extreme = slot_of("maximum", 0, type_, 0).kept
    assert extreme is not None
    return sorted(values) == sorted(values, key=extreme.place)  # type: ignore[type-var]


@given(st.lists(st.decimals(places=2, allow_nan=False, min_value=-(10**6), max_value=10**6)), st.lists(st.text()))
def test_decimals_and_text_are_in_order_as_bytes(decimals: list[object], texts: list[object]) -> None:
    assert orders(FieldType("decimal", precision=9, scale=2), decimals)
    assert orders(FieldType("string"), texts)


@given(st.lists(st.floats(allow_nan=False)))
def test_doubles_are_in_order_as_bytes(values: list[object]) -> None:
    assert orders(FieldType("double"), values)


ROW = (1, "é\n", None, Decimal("1.50"), b"\x00\xff", date(2013, 1, 5), 0.1, True)
TYPES = [
    FieldType("integer"),
    FieldType("string"),
    FieldType("decimal", nullable=True),
    FieldType("decimal", precision=9, scale=2),
    FieldType("bytes"),
    FieldType("date"),
    FieldType("double"),
    FieldType("boolean"),
]


def test_every_type_comes_back_as_it_was() -> None:
    form = RowForm(TYPES)
    back = form.read(unpack(pack(form.write(ROW))))
    assert back == ROW and [type(value) for value in back or ()] == [type(value) for value in ROW]


@given(st.binary(min_size=1, max_size=3).filter(lambda key: key.strip(b"\xff")), st.binary(max_size=2))
def test_a_prefix_holds_all_that_begins_with_it_and_nothing_else(prefix: bytes, rest: bytes) -> None:
    assert prefix <= prefix + rest < after(prefix)


@given(st.binary(max_size=3), st.binary(max_size=3), st.binary(max_size=3), st.binary(max_size=3))
def test_two_lists_of_parts_never_make_one_key(a: bytes, b: bytes, c: bytes, d: bytes) -> None:
    assert (sized(a) + b == sized(c) + d) == ((a, b) == (c, d))


def test_what_cannot_be_taken_back_exactly_has_no_total() -> None:
    assert measure_type("total", FieldType("double")) is None
    assert measure_type("average", FieldType("string")) is None
    assert measure_type("maximum", FieldType("double")) == FieldType("double")

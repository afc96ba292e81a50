from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import Fault
from headwater.ports.progress import decode_mark, encode_mark

LONGS = st.integers(min_value=-(2**63), max_value=2**63 - 1)


@settings(derandomize=True, max_examples=100)
@given(through=LONGS, offset=LONGS)
def test_a_mark_is_plain_avro(through: int, offset: int) -> None:
    import io

    import fastavro

    schema = fastavro.parse_schema(
        {
            "type": "record",
            "name": "headwater.Progress",
            "fields": [{"name": "through", "type": "long"}, {"name": "offset", "type": "long"}],
        }
    )
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema, {"through": through, "offset": offset})
    assert encode_mark(through, offset) == body.getvalue()
    assert decode_mark(body.getvalue()) == (through, offset)


@pytest.mark.parametrize("value", [b"", b"\x80", b"\x00", b"\x00\x00\x00"])
def test_what_is_no_mark_is_a_fault(value: bytes) -> None:
    with pytest.raises(Fault):
        decode_mark(value)

"""Frames of Kafka's protocol: what a proxy must read of a request or an answer, and addresses that it must rewrite.

A frame is an int32 length and so many bytes; here it is without the length. Only heads are read, and the few fields by
which a test names a frame; all else goes by untouched. The layouts are those of Kafka 4.3's own message definitions.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

API_NAMES = {
    0: "Produce", 1: "Fetch", 2: "ListOffsets", 3: "Metadata", 8: "OffsetCommit", 9: "OffsetFetch",
    10: "FindCoordinator", 11: "JoinGroup", 12: "Heartbeat", 13: "LeaveGroup", 14: "SyncGroup", 15: "DescribeGroups",
    16: "ListGroups", 17: "SaslHandshake", 18: "ApiVersions", 19: "CreateTopics", 20: "DeleteTopics",
    22: "InitProducerId", 24: "AddPartitionsToTxn", 25: "AddOffsetsToTxn", 26: "EndTxn", 28: "TxnOffsetCommit",
    32: "DescribeConfigs", 36: "SaslAuthenticate", 60: "DescribeCluster",
}  # fmt: skip
# The first version whose strings and arrays are compact and whose structures end in tagged fields.
_FLEXIBLE_SINCE = {
    "Produce": 9, "Metadata": 9, "FindCoordinator": 3, "InitProducerId": 2, "AddPartitionsToTxn": 3,
    "AddOffsetsToTxn": 3, "EndTxn": 3, "TxnOffsetCommit": 3, "DescribeCluster": 0,
}  # fmt: skip
_WITH_ERROR = {"InitProducerId", "AddOffsetsToTxn", "EndTxn"}  # their answers: throttle time, error code
ERROR_NAMES = {
    0: "NONE", 47: "INVALID_PRODUCER_EPOCH", 48: "INVALID_TXN_STATE", 49: "INVALID_PRODUCER_ID_MAPPING",
    51: "CONCURRENT_TRANSACTIONS", 53: "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", 90: "PRODUCER_FENCED",
}  # fmt: skip

Relocate = Callable[[str, int], tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Frame:
    """A request, or the answer to one, which bears the names of its request.

    `topics` are those that a Produce or AddPartitionsToTxn names; `committed` is an EndTxn's word, None for others;
    `error` is the error of a transactional answer, empty where none was read.
    """

    side: str
    api: str
    version: int
    correlation: int
    client_id: str
    body: bytes
    transactional_id: str = ""
    topics: tuple[str, ...] = ()
    committed: bool | None = None
    error: str = ""


def request_frame(body: bytes) -> Frame:
    """A request as its head and the names in it tell.

    >>> frame = request_frame(bytes.fromhex("001a000100000007" "0001" "63" "0002" "7431") + bytes(10) + b"\\x01")
    >>> frame.api, frame.version, frame.correlation, frame.client_id, frame.transactional_id, frame.committed
    ('EndTxn', 1, 7, 'c', 't1', True)
    """
    key, version, correlation = struct.unpack_from(">hhi", body)
    api = API_NAMES.get(key, f"api {key}")
    fields = _Fields(body, 8, compact=False)
    client_id = fields.string()
    fields.compact = _flexible(api, version)
    if fields.compact:
        fields.tags()
    transactional_id, topics, committed = _names(api, version, fields)
    return Frame("request", api, version, correlation, client_id, body, transactional_id, topics, committed)


def answer_frame(request: Frame, body: bytes) -> Frame:
    """The answer to a request."""
    correlation = struct.unpack_from(">i", body)[0]
    error = ""
    if request.api in _WITH_ERROR:
        start = 5 if _flexible(request.api, request.version) else 4  # a flexible head ends in (no) tagged fields
        number = struct.unpack_from(">h", body, start + 4)[0]
        error = ERROR_NAMES.get(number, f"error {number}")
    return Frame(
        "answer", request.api, request.version, correlation, request.client_id, body,
        request.transactional_id, request.topics, request.committed, error,
    )  # fmt: skip


def relocated(answer: Frame, relocate: Relocate) -> bytes:
    """An answer's bytes with every broker's address replaced; as it was where it names none."""
    rewrite = _ADDRESSED.get(answer.api)
    if rewrite is None:
        return answer.body
    flexible = _flexible(answer.api, answer.version)
    fields = _Fields(answer.body, 4, compact=flexible)
    if flexible:
        fields.tags()
    copy = _Copy(fields, relocate)
    rewrite(copy, answer.version)
    return copy.whole()


def _flexible(api: str, version: int) -> bool:
    return version >= _FLEXIBLE_SINCE.get(api, 1 << 15)


def _names(api: str, version: int, fields: _Fields) -> tuple[str, tuple[str, ...], bool | None]:
    if api in ("InitProducerId", "AddOffsetsToTxn", "TxnOffsetCommit"):
        return fields.string(), (), None
    if api == "EndTxn":
        name = fields.string()
        fields.skip(10)  # producer id, epoch
        return name, (), fields.number(1) != 0
    if api == "AddPartitionsToTxn" and version < 4:  # later ones are only spoken between brokers
        name = fields.string()
        fields.skip(10)
        return name, _topics(fields, lambda: fields.skip(4 * fields.length())), None
    if api == "Produce" and version >= 3:
        name = fields.string()
        fields.skip(6)  # acks, timeout
        topics = _topics(fields, lambda: _partitions_of_produce(fields)) if version < 13 else ()
        return name, topics, None
    return "", (), None


def _topics(fields: _Fields, rest: Callable[[], None]) -> tuple[str, ...]:
    names = []
    for _ in range(fields.length()):
        names.append(fields.string())
        rest()
        fields.tags()
    return tuple(names)


def _partitions_of_produce(fields: _Fields) -> None:
    for _ in range(fields.length()):
        fields.skip(4)
        fields.skip(max(0, fields.length(wide=True)))
        fields.tags()


class _Fields:
    """Reads one field after another."""

    def __init__(self, body: bytes, at: int, *, compact: bool) -> None:
        self.body, self.at, self.compact = body, at, compact

    def skip(self, count: int) -> None:
        self.at += count

    def number(self, size: int) -> int:
        self.at += size
        return int.from_bytes(self.body[self.at - size : self.at], "big", signed=True)

    def varint(self) -> int:
        shift = value = 0
        while True:
            byte = self.body[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def length(self, *, wide: bool = True) -> int:
        """Of an array or of bytes (`wide`), or of a string; -1 is null."""
        return self.varint() - 1 if self.compact else self.number(4 if wide else 2)

    def string(self) -> str:
        length = self.length(wide=False)
        if length < 0:
            return ""
        self.at += length
        return self.body[self.at - length : self.at].decode()

    def tags(self) -> None:
        if not self.compact:
            return
        for _ in range(self.varint()):
            self.varint()
            self.skip(self.varint())


class _Copy:
    """A body copied field by field, with addresses exchanged on the way."""

    def __init__(self, fields: _Fields, relocate: Relocate) -> None:
        self.fields, self._relocate = fields, relocate
        self._parts: list[bytes] = []
        self._copied = 0

    def address(self) -> None:
        """Host and port, which always stand together."""
        before = self.fields.at
        host, port = self._relocate(self.fields.string(), self.fields.number(4))
        name = host.encode()
        size = _varint(len(name) + 1) if self.fields.compact else struct.pack(">h", len(name))
        self._parts += [self.fields.body[self._copied : before], size, name, struct.pack(">i", port)]
        self._copied = self.fields.at

    def whole(self) -> bytes:
        return b"".join([*self._parts, self.fields.body[self._copied :]])


def _metadata(copy: _Copy, version: int) -> None:
    copy.fields.skip(4 if version >= 3 else 0)  # throttle time
    _brokers(copy, rack=version >= 1, more=0)


def _describe_cluster(copy: _Copy, version: int) -> None:
    copy.fields.skip(6)  # throttle time, error
    copy.fields.string()
    copy.fields.skip(1 if version >= 1 else 0)  # type of the endpoints
    copy.fields.string()
    copy.fields.skip(4)
    _brokers(copy, rack=True, more=1 if version >= 2 else 0)


def _brokers(copy: _Copy, *, rack: bool, more: int) -> None:
    fields = copy.fields
    for _ in range(fields.length()):
        fields.skip(4)  # node id
        copy.address()
        if rack:
            fields.string()
        fields.skip(more)
        fields.tags()


def _find_coordinator(copy: _Copy, version: int) -> None:
    fields = copy.fields
    fields.skip(4 if version >= 1 else 0)
    if version >= 4:
        for _ in range(fields.length()):
            fields.string()
            fields.skip(4)
            copy.address()
            fields.skip(2)
            fields.string()
            fields.tags()
        return
    fields.skip(2)
    if version >= 1:
        fields.string()
    fields.skip(4)
    copy.address()


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


_ADDRESSED = {"Metadata": _metadata, "FindCoordinator": _find_coordinator, "DescribeCluster": _describe_cluster}

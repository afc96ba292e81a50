"""One connection through a `KafkaProxy`: two pumps that pass frames on, and what rules do to them on the way."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Protocol

from headwater.testing.kafka_proxy_frame import Frame, answer_frame, relocated, request_frame
from headwater.testing.kafka_proxy_rules import Cut, Drop, Duplicate, Freeze, Hold, Moment, Rule, Sever, Swap

FRAME_BYTES_LIMIT = 110_000_000  # above the broker's own limit of a request
LATE_SECONDS = 5.0  # how long the broker's side stays open for answers once the client is gone
SWAP_SECONDS = 1.0  # how long a swapped frame waits for one to follow

Pass = Callable[[Frame], Awaitable[None]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Control(Protocol):
    """What a connection asks of its proxy."""

    def relocate(self, host: str, port: int) -> tuple[str, int]:
        """Our address for a broker's."""

    def judge(self, frame: Frame, connection: int) -> Rule | None:
        """Note a frame; the rule that strikes it."""

    async def moment(self, rule: Rule, moment: Moment) -> None:
        """Wait for a moment, which is bounded."""

    def note(self, rule: Rule, frame: Frame, connection: int, deed: str) -> None:
        """Log what was done."""


class Link:
    """A client's connection and the one to the broker that belongs to it."""

    def __init__(self, number: int, client: Streams, broker: Streams, control: Control) -> None:
        self.number = number
        self._client, self._broker, self._control = client, broker, control
        self._pending: dict[int, Frame] = {}
        self._awaited: dict[int, Rule] = {}  # rules that wait to hear of the answer, by correlation
        self._surplus: set[int] = set()  # correlations of which the second answer is kept from the client
        self._aside: dict[str, Frame] = {}  # swapped frames, by direction
        self._cut = self._frozen = False

    async def run(self) -> None:
        """Pass frames until either side ends."""
        requests = asyncio.create_task(self._requests())
        answers = asyncio.create_task(self._answers())
        try:
            await asyncio.wait({requests, answers}, return_when=asyncio.FIRST_COMPLETED)
            if not answers.done():  # the client is gone: the broker's last answers are still heard, for the log
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._heard_out(answers), LATE_SECONDS)
        finally:
            for task in (requests, answers):
                task.cancel()
            await asyncio.gather(requests, answers, return_exceptions=True)
            self.cut("close")
            self._broker[1].close()

    def cut(self, how: Cut) -> None:
        """End the client's side: a reset is what a broken network looks like, a close what a restart does."""
        if self._cut or not how:
            return
        self._cut = True
        writer = self._client[1]
        if how == "reset":
            plain = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            writer.close()

    async def _requests(self) -> None:
        while not self._cut:
            body = await _read(self._client[0])
            if body is None:
                return
            frame = request_frame(body)
            self._pending[frame.correlation] = frame
            await self._judged(frame, self._to_broker)

    async def _answers(self) -> None:
        while True:
            body = await _read(self._broker[0])
            if body is None:
                return
            request = self._pending.get(struct.unpack_from(">i", body)[0])
            if request is None:
                continue
            frame = answer_frame(request, body)
            if frame.correlation in self._surplus:
                self._surplus.discard(frame.correlation)
                continue
            del self._pending[frame.correlation]
            if rule := self._awaited.pop(frame.correlation, None):
                self._control.note(rule, frame, self.number, "answered")
            await self._judged(frame, self._to_client)

    async def _heard_out(self, answers: asyncio.Task[None]) -> None:
        while self._pending and not answers.done():
            await asyncio.sleep(0.005)

    async def _judged(self, frame: Frame, send: Pass) -> None:
        rule = self._control.judge(frame, self.number)
        if rule is None:
            await self._passed(frame, send)
            return
        if frame.side == "request":
            self._awaited[frame.correlation] = rule
        do = rule.do
        if isinstance(do, Hold):
            self.cut(do.cut)
            await self._control.moment(rule, do.until)
            self._control.note(rule, frame, self.number, "released")
            await self._passed(frame, send)
        elif isinstance(do, Drop):
            self._pending.pop(frame.correlation, None)
            self.cut(do.cut)
        elif isinstance(do, Duplicate):
            if frame.side == "request":
                self._surplus.add(frame.correlation)
            await self._passed(frame, send)
            await self._passed(frame, send)
        elif isinstance(do, Swap):
            self._aside[frame.side] = frame
            asyncio.get_running_loop().call_later(SWAP_SECONDS, self._brought_back, frame, send)
        elif isinstance(do, Sever):
            self._pending.clear()
            self.cut(do.cut)
            self._broker[1].close()
        elif isinstance(do, Freeze):
            self._frozen = True
            await self._passed(frame, send)

    async def _passed(self, frame: Frame, send: Pass) -> None:
        if self._frozen:
            await asyncio.Event().wait()  # until the proxy ends
        await send(frame)
        if (aside := self._aside.pop(frame.side, None)) is not None:
            await send(aside)

    def _brought_back(self, frame: Frame, send: Pass) -> None:
        if self._aside.get(frame.side) is frame:
            del self._aside[frame.side]
            self._late = asyncio.ensure_future(send(frame))

    async def _to_broker(self, frame: Frame) -> None:
        await _write(self._broker[1], frame.body)

    async def _to_client(self, frame: Frame) -> None:
        if not self._cut:
            await _write(self._client[1], relocated(frame, self._control.relocate))


async def _read(reader: asyncio.StreamReader) -> bytes | None:
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        assert size <= FRAME_BYTES_LIMIT, "this is no frame of Kafka's protocol; is it TLS?"
        return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def _write(writer: asyncio.StreamWriter, body: bytes) -> None:
    with contextlib.suppress(ConnectionError):  # the reading pump of that side hears it too
        writer.write(len(body).to_bytes(4, "big") + body)
        await writer.drain()

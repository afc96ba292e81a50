"""What the products of a process are told to do, followed in their control topics; their stages look here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headwater import naming
from headwater.errors import HeadwaterError
from headwater.hooks import Hooks
from headwater.naming import ProductName
from headwater.ports.protocol import Broker, Reader
from headwater.ports.reading import read_to_end
from headwater.ports.record import Message, TopicPartition
from headwater.processing.commands import COMMAND_KEY, REPORT_KEY, Command, decode
from headwater.processing.steps import Plan

FETCH_MESSAGES = 500


class Controls:
    """Follows the control topics of plans. One thread calls `start` and then `step`; any may ask `paused`."""

    def __init__(self, plans: Sequence[Plan], broker: Broker, hooks: Hooks) -> None:
        self._broker = broker
        self._hooks = hooks
        self._products = {naming.control_topic(plan.product, plan.major): plan.product for plan in plans}
        self._next: dict[TopicPartition, int] = {}
        self._paused: Mapping[ProductName, Command] = {}
        self._reader: Reader | None = None

    def paused(self, product: ProductName) -> Command | None:
        """The command by which a product stands still; None while it may run."""
        return self._paused.get(product)

    def start(self) -> None:
        """Read what is in force, before anything runs. Raises where the broker is away."""
        starts = self._broker.starts([TopicPartition(topic, 0) for topic in sorted(self._products)])
        self._next = dict(starts)
        for item in read_to_end(self._broker, starts):
            if isinstance(item, Message):
                self._take(item)

    def step(self, seconds: float) -> None:
        """Take what is new, waiting up to so long for it. While the broker is away, what was in force last stays so."""
        try:
            if self._reader is None:
                self._reader = self._broker.reader(self._next)
            found = self._reader.poll(FETCH_MESSAGES, seconds)
        except HeadwaterError:
            self.close()  # a new reader goes on from where this one stood
            return
        for item in found:
            if isinstance(item, Message):
                self._take(item)

    def close(self) -> None:
        """Let go."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _take(self, message: Message) -> None:
        product = self._products[message.topic]
        self._next[TopicPartition(message.topic, message.partition)] = message.offset + 1
        key = message.key or b""
        if key.startswith(REPORT_KEY) or message.value is None:
            return
        command = decode(message.value) if key.startswith(COMMAND_KEY) else None
        if command is None:
            self._hooks.announce("product.misdirected", product=str(product), offset=message.offset)
            return
        pauses = command.does == "pause"
        if pauses != (product in self._paused):
            others = {name: told for name, told in self._paused.items() if name != product}
            self._paused = {**others, product: command} if pauses else others
            self._hooks.announce(
                "product.told",
                product=str(product),
                does=command.does,
                by=command.by,
                why=command.why,
                paused=pauses * 1,
            )

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
from headwater.processing.deployed import JOB_KEY, Deployed
from headwater.processing.deployed import decode as decode_job
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
        self._jobs: dict[ProductName, Command] = {}  # of products that a live Flink job has
        self._started = False
        self._reader: Reader | None = None

    def paused(self, product: ProductName) -> Command | None:
        """The command by which a product stands still; None while it may run."""
        return self._jobs.get(product) or self._paused.get(product)

    def start(self) -> None:
        """Read what is in force, before anything runs. Raises where the broker is away."""
        starts = self._broker.starts([TopicPartition(topic, 0) for topic in sorted(self._products)])
        self._next = dict(starts)
        for item in read_to_end(self._broker, starts):
            if isinstance(item, Message):
                self._take(item)
        for product, told in self._jobs.items():
            self._tell(product, told, paused=True)
        self._started = True

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
        if key == JOB_KEY and (job := decode_job(message.value)) is not None:
            self._take_job(product, job)
            return
        command = decode(message.value) if key.startswith(COMMAND_KEY) else None
        if command is None:
            self._hooks.announce("product.misdirected", product=str(product), offset=message.offset)
            return
        pauses = command.does == "pause"
        if pauses != (product in self._paused):
            others = {name: told for name, told in self._paused.items() if name != product}
            self._paused = {**others, product: command} if pauses else others
            self._tell(product, command, paused=pauses)

    def _take_job(self, product: ProductName, said: Deployed) -> None:
        """A live job has a product from where it began, and for as long as this process lives: what it writes meanwhile
        is not in the state that is kept here.
        """
        if self._started and (said.ended or product in self._jobs):
            return
        if said.ended or not said.job:
            self._jobs.pop(product, None)
            return
        self._jobs[product] = Command("pause", "flink", said.at, "a live Flink job has it; start this runner after it")
        if self._started:
            self._tell(product, self._jobs[product], paused=True)

    def _tell(self, product: ProductName, command: Command, *, paused: bool) -> None:
        self._hooks.announce(
            "product.told",
            product=str(product),
            does=command.does,
            by=command.by,
            why=command.why,
            paused=paused * 1,
        )

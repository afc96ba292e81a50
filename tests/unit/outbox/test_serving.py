"""Several relays in one process: what ends one is said, and ends no other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from headwater.errors import CallerFault, HeadwaterError
from headwater.hooks import Hooks
from headwater.outbox.serving import serve_all
from headwater.stopping import Stopping

STOP_SECONDS = 5.0


@dataclass
class Source:
    """Serves until told to stop, or until something ends it."""

    name: str
    ends_with: BaseException | None = None
    begun: threading.Event = field(default_factory=threading.Event)
    served_to_the_end: bool = False

    def run(self, stopping: Callable[[], bool]) -> None:
        self.begun.set()
        if self.ends_with is not None:
            raise self.ends_with
        while not stopping():
            threading.Event().wait(0.001)
        self.served_to_the_end = True


def lost() -> HeadwaterError:
    return CallerFault("its slot is missing", code="HW-O012", hint="headwater apply")


def served(*sources: Source, stop_after: str = "") -> tuple[list[BaseException], list[dict[str, object]]]:
    """What `serve_all` answers and announces; asked to stop once the failure of `stop_after` was announced."""
    stopping, heard = Stopping(), []

    def listen(happening: str, fields: dict[str, object]) -> None:
        assert happening == "relay.failed"
        heard.append(fields)
        if fields["source"] == stop_after:
            stopping.set()

    return serve_all(list(sources), stopping, hooks=Hooks([listen]), stop_seconds=STOP_SECONDS), heard


def test_a_source_that_fails_is_said_and_the_others_go_on_until_the_stop() -> None:
    bad, good = Source("a.public.outbox", lost()), Source("b.public.outbox")
    failures, heard = served(bad, good, stop_after=bad.name)
    assert [str(failure) for failure in failures] == ["its slot is missing"]
    assert good.served_to_the_end
    assert heard == [
        {
            "source": "a.public.outbox", "code": "HW-O012", "reason": "its slot is missing",
            "hint": "headwater apply", "others": 1,
        }
    ]  # fmt: skip


def test_when_the_last_source_has_failed_nothing_waits_for_a_stop() -> None:
    failures, heard = served(Source("a.public.outbox", lost()), Source("b.public.outbox", lost()))
    assert len(failures) == 2 and [fields["others"] for fields in heard] == [1, 0]


def test_an_error_that_is_none_of_ours_is_said_without_its_text() -> None:
    failures, heard = served(Source("a.public.outbox", KeyError("a value")))
    assert len(failures) == 1
    assert heard[0]["code"] == "HW-K070" and "KeyError" in str(heard[0]["reason"])
    assert "a value" not in str(heard[0])


def test_a_stop_ends_all_without_a_failure() -> None:
    stopping = Stopping()
    source = Source("a.public.outbox")
    threading.Thread(target=lambda: source.begun.wait(5) and stopping.set()).start()
    assert serve_all([source], stopping, hooks=Hooks(), stop_seconds=STOP_SECONDS) == []
    assert source.served_to_the_end

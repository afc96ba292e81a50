"""All four services at work, in order of report: `python -m examples.services.replay --rows 20000`.

At full speed up to a hundred reports are taken at a time and each service commits its part of them in one transaction;
at a rate fewer, down to one. What is in the tables already is passed over, so a replay that was interrupted, or is run
again with more rows, goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from examples.services.arrivals import Arrivals
from examples.services.departure_control import DepartureControl
from examples.services.fleet import Fleet
from examples.services.reports import DEPARTURES, SEED_DEFAULT, Cancellation, Replay, Report
from examples.services.service import Service, connect
from examples.services.weather_station import WeatherStation

GROUP_LIMIT = 100
GROUPS_A_SECOND = 20
PROGRESS_SECONDS = 0.25


def main() -> None:
    """Read the options, replay, say how far it is."""
    parser = argparse.ArgumentParser(description="Replay 2013's flights as the services would have reported them.")
    parser.add_argument("--rows", default="20000", help="the first so many flights in order of report, or all")
    parser.add_argument("--rate", type=float, default=0, help="reports a second; 0 is full speed")
    parser.add_argument("--seed", type=int, default=SEED_DEFAULT, help="which reports are late, wrong or withdrawn")
    parser.add_argument("--progress", type=Path, help="a file to keep the progress in, as JSON")
    options = parser.parse_args()
    services = [service(connect()) for service in (DepartureControl, Arrivals, WeatherStation, Fleet)]
    progress = Progress(options.progress)
    progress.show(0, 0, None)
    replay = Replay(None if options.rows == "all" else int(options.rows), options.seed)
    run(replay, services, rate=options.rate, progress=progress)
    with connect() as connection:
        totals = connection.execute("SELECT aggregatetype, count(*) FROM public.outbox GROUP BY 1").fetchall()
    progress.show(len(replay), len(replay), dict(totals))


def run(
    replay: Replay, services: Sequence[Service], *, rate: float = 0, progress: Progress | None = None
) -> dict[str, int]:
    """Give every report to its service; how many were new, by product."""
    by_product = {service.product: service for service in services}
    written = dict.fromkeys(by_product, 0)
    started, done, new = time.monotonic(), 0, 0
    for group in groups(replay, size_for(rate)):
        if rate > 0:
            time.sleep(max(0.0, started + new / rate - time.monotonic()))
        for product, reports in by_service(group).items():
            if product in by_product:
                written[product] += by_product[product].write(reports)
        done += len(group)
        new = sum(written.values())
        if progress is not None:
            progress.tell(done, len(replay))
    return written


def size_for(rate: float) -> int:
    """How many reports to take at a time: one at a slow rate, so that each is a transaction of its own."""
    return GROUP_LIMIT if rate <= 0 else max(1, min(GROUP_LIMIT, int(rate / GROUPS_A_SECOND)))


def groups(replay: Iterable[Report | Cancellation], size: int) -> Iterator[list[Report | Cancellation]]:
    """Consecutive reports, `size` at a time."""
    reports = iter(replay)
    while group := list(islice(reports, size)):
        yield group


def by_service(group: Sequence[Report | Cancellation]) -> Mapping[str, list[Report | Cancellation]]:
    """The reports of a group by product, each in order."""
    result: dict[str, list[Report | Cancellation]] = {}
    for report in group:
        result.setdefault(report.product if isinstance(report, Report) else DEPARTURES, []).append(report)
    return result


class Progress:
    """How far a replay is, in a file that others may read at any time, and on the last line of what is printed."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._next = 0.0

    def tell(self, done: int, total: int) -> None:
        """Now and then."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PROGRESS_SECONDS
            self.show(done, total, None)

    def show(self, done: int, total: int, outbox: Mapping[str, int] | None) -> None:
        """Now. `outbox` are the rows of the outbox by product, once all is written."""
        text = json.dumps({"done": done, "of": total, "outbox": outbox})
        if self._path is None:
            print(text, flush=True)
            return
        draft = self._path.with_suffix(".draft")
        draft.write_text(text)
        draft.replace(self._path)


if __name__ == "__main__":
    main()

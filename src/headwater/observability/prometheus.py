"""Happenings to Prometheus: a listener that counts by the catalogue, and the page that is scraped."""

from __future__ import annotations

from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, start_http_server

from headwater.errors import CallerFault
from headwater.observability.metrics import METRICS, Metric

# From a transaction on a quiet laptop to the time-out of one.
COMMIT_SECONDS_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class PrometheusListener:
    """Counts what is announced; `text()` is what a scrape sees.

    >>> listener = PrometheusListener()
    >>> numbers = {"records": 3, "folded": 3, "columnar": 0, "repeats": 1, "superseded": 0, "limit": 9, "seconds": 0.01}
    >>> listener("stage.committed", {"product": "a.b", "stage": "s", **numbers})
    >>> 'headwater_stage_records_total{product="a.b",stage="s"} 3.0' in listener.text()
    True
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._by_happening: dict[str, list[tuple[Metric, Counter | Gauge | Histogram]]] = {}
        for metric in METRICS:
            self._by_happening.setdefault(metric.happening, []).append((metric, self._made(metric)))
        build = Gauge("headwater_build_info", "The version that runs.", ["version"], registry=self._registry)
        build.labels(version("headwater")).set(1)

    def __call__(self, happening: str, fields: dict[str, object]) -> None:
        """Count one happening; one that no metric is made of is passed over."""
        for metric, made in self._by_happening.get(happening, ()):
            if metric.amount and fields[metric.amount] is None:
                continue  # not known now: what was known last stays
            amount = float(str(fields[metric.amount])) if metric.amount else 1.0
            child = made.labels(*(str(fields[label]) for label in metric.labels))
            if isinstance(child, Histogram):
                child.observe(amount)
            elif isinstance(child, Gauge):
                child.set(amount)
            else:
                child.inc(amount)

    def text(self) -> str:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._registry).decode()

    def serve(self, port: int) -> None:
        """Answer scrapes at `http://127.0.0.1:<port>/metrics`, in a thread of its own."""
        try:
            start_http_server(port, addr="127.0.0.1", registry=self._registry)
        except OSError:
            raise CallerFault(
                f"port {port} is taken: metrics cannot be served there",
                code="HW-K010",
                hint="give --metrics-port another number, or leave it out",
            ) from None

    def _made(self, metric: Metric) -> Counter | Gauge | Histogram:
        if metric.kind == "histogram":
            return Histogram(
                metric.name, metric.meaning, metric.labels, buckets=COMMIT_SECONDS_BUCKETS, registry=self._registry
            )
        if metric.kind == "gauge":
            return Gauge(metric.name, metric.meaning, metric.labels, registry=self._registry)
        return Counter(metric.name, metric.meaning, metric.labels, registry=self._registry)

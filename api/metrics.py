"""What `/metrics` shows: the balance of readings, requests, and the state of the work."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

INGEST_HELP = {
    "received": "Readings that came in; a message nobody could read counts as one.",
    "stored": "Readings that reached the store.",
    "in_journal": "Readings that are durable but not yet in the store.",
    "duplicate": "Readings that were already known.",
    "quarantined": "Readings set aside whole, with the reason.",
    "refused": "Readings with content we must not keep.",
}


class _FromCounts(Collector):
    """Reads the numbers when asked, so that none is kept twice."""

    def __init__(self, counts: Callable[[], Mapping[str, object]]) -> None:
        self.counts = counts

    def collect(self) -> Iterable[Metric]:
        counts = self.counts()
        for name, value in sorted(counts.items()):
            help_text = INGEST_HELP.get(name, f"Ingest: {name.replace('_', ' ')}.")
            if isinstance(value, Mapping):
                yield _by_reason(name, help_text, value)
            elif isinstance(value, int | float):
                # What waits in the journal goes up and down; everything else only counts up.
                if name == "in_journal":
                    yield GaugeMetricFamily("ljusvakt_ingest_in_journal", help_text, value=value)
                else:
                    yield CounterMetricFamily(f"ljusvakt_ingest_{name}", help_text, value=value)


def _by_reason(name: str, help_text: str, values: Mapping[str, object]) -> Metric:
    family = CounterMetricFamily(f"ljusvakt_ingest_{name}", help_text, labels=["reason"])
    for reason, value in sorted(values.items()):
        if isinstance(value, int | float):
            family.add_metric([str(reason)], value)
    return family


class _FromStates(Collector):
    def __init__(self, work: Callable[[], Mapping[str, Mapping[str, int]]]) -> None:
        self.work = work

    def collect(self) -> Iterable[Metric]:
        for name, by_state in sorted(self.work().items()):
            family = GaugeMetricFamily(
                f"ljusvakt_{name}", f"How many {name.replace('_', ' ')}.", labels=["state"]
            )
            for state, number in sorted(by_state.items()):
                family.add_metric([state], number)
            yield family


class Metrics:
    """A registry of its own, so that two apps in one process do not share numbers.

    Parameters
    ----------
    counts : callable
        The ingest balance: name to number, or to numbers by reason.
    work : callable
        `{"luminaires": {"ok": 1, ...}, "work_orders": {"new": 1, ...}}`.
    """

    def __init__(
        self,
        counts: Callable[[], Mapping[str, object]],
        work: Callable[[], Mapping[str, Mapping[str, int]]],
    ) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_FromCounts(counts))
        self.registry.register(_FromStates(work))
        self.requests = Counter(
            "ljusvakt_http_requests",
            "Requests answered.",
            ["route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "ljusvakt_http_request_seconds",
            "Time to the first byte of the answer.",
            ["route"],
            registry=self.registry,
        )

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

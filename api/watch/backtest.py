"""The same pure round over recorded files: causal, noon by noon, as it would have been."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from analytics.grid import DAY_MS, night_of, window_start
from analytics.rules import Rules
from api.findings import NamedFinding
from api.tables import write_table
from api.watch.feature_store import FeatureStore
from api.watch.feed import Feed
from api.watch.night_round import NightRound, RoundResult

__all__ = ["Backtest", "run_backtest", "write_findings"]

LIGHT_EVERY_MS = 600_000


@dataclass(frozen=True, slots=True)
class Backtest:
    """What a replay found.

    Attributes
    ----------
    findings : list of NamedFinding
        The complete picture after the last round.
    rounds : int
        Noon rounds that were run.
    light_rounds : int
    lamp_nights : int
    readings : int
    """

    findings: list[NamedFinding]
    rounds: int
    light_rounds: int
    lamp_nights: int
    readings: int


def run_backtest(
    feed: Feed,
    rules: Rules,
    *,
    live: bool = False,
    features: FeatureStore | None = None,
    tz: str = "Europe/Stockholm",
    progress: Callable[[int, int], None] = lambda done, all_: None,
) -> Backtest:
    """Replay a feed round by round; each round sees only what was received by then.

    Parameters
    ----------
    feed : Feed
    rules : Rules
    live : bool
        Also run the light rounds, every ten minutes.
    features : FeatureStore, optional
        In memory where not given.
    tz : str
        Zone of the dimming programmes.
    progress : callable
        Told how many noon rounds are done, of how many.
    """
    source = feed.source
    first_ms, last_ms = source.span_ms()
    engine = NightRound(
        feed.assets,
        rules=rules,
        features=features or FeatureStore(),
        maintenance=feed.maintenance,
        tz=tz,
    )
    late = source.late_arrivals()
    first, last = night_of(first_ms), night_of(last_ms)
    result: RoundResult | None = None
    retired: list[NamedFinding] = []
    light_rounds = 0
    for number in range(first, last + 1):
        if live:
            for now_ms in light_moments(number, last_ms):
                result = engine.light_round(source, now_ms)
                light_rounds += 1
        engine.mark_dirty(n for n in late.get(number, ()) if first <= n < number)
        result = engine.noon_round(source, window_start(number + 1))
        retired += result.retired
        progress(number - first + 1, last - first + 1)
    rounds = last - first + 1
    return Backtest(
        findings=[*retired, *(result.findings if result else [])],
        rounds=rounds,
        light_rounds=light_rounds,
        lamp_nights=engine.street.n * rounds,
        readings=source.count,
    )


def light_moments(number: int, last_ms: int) -> Iterator[int]:
    """Moments of the light rounds of one window, every ten minutes up to the last reading."""
    start = window_start(number)
    stop = min(start + DAY_MS, last_ms + LIGHT_EVERY_MS)
    return iter(range(start + LIGHT_EVERY_MS, stop, LIGHT_EVERY_MS))


def write_findings(path: Path, findings: Sequence[NamedFinding]) -> None:
    """Write the findings format: .csv, .jsonl or .parquet by the name's end."""
    rows = sorted(findings, key=lambda f: (f.raised_ms, f.incident, f.device_id, f.kind))
    columns: dict[str, list[object]] = {
        "kind": [f.kind.value for f in rows],
        "device_id": [f.device_id for f in rows],
        "incident": [f.incident for f in rows],
        "cause_kind": [f.cause_kind.value for f in rows],
        "cause_id": [f.cause_id for f in rows],
        "start": [f.start_ms for f in rows],
        "end": [f.end_ms for f in rows],
        "raised_at": [f.raised_ms for f in rows],
        "severity": [f.severity.value for f in rows],
        "confidence": [round(f.confidence, 3) for f in rows],
        "note": [f.note for f in rows],
    }
    write_table(path, columns, times=("start", "end", "raised_at"))

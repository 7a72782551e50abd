"""The situation map ("lägesbild") for the city's map meetings: made at set hours of the week.

What is unlit and unknown at every place, and how many hours of its week few people pass. It leaves
the house, so of footfall it holds one number a place over whole weeks: rounded, and withheld where
too few people stand behind it.
"""

import asyncio
import json
import socket
from collections.abc import Callable
from datetime import datetime, time, timedelta
from os import getpid
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
import structlog

from analytics.activity import State
from analytics.privacy import PUBLIC_K, ROUND_TO
from api.assets import Asset
from api.clock import Clock
from api.interop.csv_export import SITUATION_TIMES, situation, situation_slot_ms
from api.interop.geojson import situation_map
from api.ledger import Ledger
from api.ledger.situations import SituationMap
from api.local_time import time_zone
from api.planning.activity import activity_answer
from api.planning.holiday_calendar import country_of
from api.planning.stored_counts import stored_counts
from api.services import Health
from api.settings import Settings
from api.tables import csv_text
from ingest.stores import SeriesStore

__all__ = ["SituationMaps", "low_activity_hours", "situation_health", "situation_now"]

WEEKS = 8
LATE_MS = 15 * 60_000
STAND_BY_S = 2.0
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def low_activity_hours(
    store: SeriesStore, assets: list[Asset], settings: Settings, now_ms: int
) -> dict[str, int]:
    """Hours of the week in which few pass, by place, as they may leave the house.

    From the last eight whole weeks, Monday to Sunday: a fixed window, so that no two maps can be
    subtracted. Rounded to five hours. A place is left out where fewer than ten people stand behind
    those hours, or where the hours of its week are not known.
    """
    zone = time_zone(settings.timezone)
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    until = today - timedelta(days=today.weekday() + 1)
    start = datetime.combine(until - timedelta(days=7 * WEEKS - 1), time(), zone)
    stop = datetime.combine(until + timedelta(days=1), time(), zone)
    counts = stored_counts(
        store,
        assets,
        zone=zone,
        start_ms=int(start.timestamp() * 1000) + 1,
        stop_ms=int(stop.timestamp() * 1000) + 1,
    )
    if counts is None or counts.hours is None or counts.first_day > until:
        return {}
    answer = activity_answer(counts, country=country_of(zone.key, None), weeks=WEEKS, until=until)
    fit = answer.fit
    low, known = fit.state >= State.PROBABLE, fit.state != State.INSUFFICIENT
    # Whoever really was counted in those hours, not who the model expects there.
    # Counters that fell silent end before the window does.
    last = min(until, counts.first_day + timedelta(days=len(counts.hours) - 1))
    days = [answer.first_day + timedelta(days=n) for n in range((last - answer.first_day).days + 1)]
    if not days:
        return {}
    rows = [counts.row(day) for day in days]
    by_weekday = low.reshape(7, 24, -1)[[day.weekday() for day in days]]
    persons = np.nansum(np.where(by_weekday, counts.hours[rows], 0.0), axis=(0, 1))
    hours = np.round(low.sum(axis=0) / ROUND_TO).astype(int) * ROUND_TO
    told = known.all(axis=0) & (persons >= PUBLIC_K)
    return {site: int(hours[i]) for i, site in enumerate(counts.sites) if told[i]}


def situation_now(
    ledger: Ledger, store: SeriesStore, settings: Settings, *, now_ms: int, slot_ms: int
) -> dict[str, list[Any]]:
    """The map as it is now, for a slot; see `csv_export.situation` for its columns."""
    assets = ledger.assets()
    return situation(
        assets,
        ledger.luminaire_states(),
        quiet_hours=low_activity_hours(store, assets, settings, now_ms),
        cut_off_ms=slot_ms,
        made_ms=now_ms,
    )


class SituationMaps:
    """Makes the map of each slot of the week once, in whichever process leads.

    It is kept in the ledger, so every replica shows the same, and written beside it into the data
    folder as CSV and GeoJSON. A slot in which nothing ran is made up for as soon as something does;
    of several only the latest, because nobody knows any more how the others were.

    Parameters
    ----------
    ledger : Ledger
    store : SeriesStore
    settings : Settings
    clock : Clock
    folder : Path
        Where the files go.
    may_make : callable
        Whether this process is the one that does; asked before each turn.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: SeriesStore,
        settings: Settings,
        clock: Clock,
        *,
        folder: Path,
        may_make: Callable[[], bool],
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._settings = settings
        self._clock = clock
        self._folder = folder
        self._may_make = may_make
        self._name = f"{socket.gethostname()}:{getpid()}"
        self._log = structlog.get_logger("situation")

    async def run(self) -> None:
        """Make each slot's map, for ever."""
        if not self._settings.situation.weekdays:
            return
        while True:
            try:
                led = await asyncio.to_thread(self.turn)
            except Exception:
                # Nothing is lost: the slot has no map yet, and the next turn makes it.
                self._log.exception("the situation map could not be made")
                led = False
            if led:
                await self._clock.sleep_until(slot_of(self._settings, self._clock.now_ms(), 1))
            else:
                await asyncio.sleep(STAND_BY_S)

    def turn(self) -> bool:
        """Make what is due, if this process leads; whether it does."""
        if not self._may_make():
            return False
        now_ms = self._clock.now_ms()
        slot_ms = slot_of(self._settings, now_ms)
        if self._ledger.situation_map(slot_ms) is None:
            self.make(slot_ms, now_ms)
        made = self._ledger.situation_map(slot_ms)
        if made is not None:
            write_map(self._folder, made, self._settings)
        return True

    def make(self, slot_ms: int, now_ms: int) -> None:
        """Make the map of a slot as things are now."""
        columns = situation_now(
            self._ledger, self._store, self._settings, now_ms=now_ms, slot_ms=slot_ms
        )
        kept = self._ledger.keep_situation_map(slot_ms, columns, made_by=self._name, now_ms=now_ms)
        if kept:
            self._log.info("situation map made", slot_ms=slot_ms, places=len(columns["site"]))


def slot_of(settings: Settings, now_ms: int, step: int = 0) -> int:
    """The slot at or before now, or the one after it [ms, UTC]."""
    return situation_slot_ms(
        now_ms,
        zone=time_zone(settings.timezone),
        days=[DAYS.index(day) for day in settings.situation.weekdays],
        hour=settings.situation.hour,
        step=step,
    )


def situation_health(ledger: Ledger, settings: Settings, now_ms: int) -> Health:
    """Whether the map of the last slot was made; a quarter of an hour is given for it."""
    if not settings.situation.weekdays:
        return Health(ok=True, detail="made only when asked for")
    slot_ms = slot_of(settings, now_ms)
    zone = time_zone(settings.timezone)
    due = datetime.fromtimestamp(slot_ms / 1000, zone).strftime("%Y-%m-%d %H:%M")
    if ledger.situation_map(slot_ms) is None:
        late = now_ms - slot_ms > LATE_MS
        return Health(ok=not late, detail=f"the map of {due} is not made yet")
    return Health(ok=True, detail=f"the map of {due} is made")


def write_map(folder: Path, made: SituationMap, settings: Settings) -> None:
    """The map as files, each whole or not there; what is there stays."""
    at = datetime.fromtimestamp(made.slot_ms / 1000, time_zone(settings.timezone))
    name = f"lage-{at:%Y-%m-%d-%H%M}"
    geo = json.dumps(situation_map(made.columns), ensure_ascii=False)
    table = csv_text(made.columns, times=SITUATION_TIMES)
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in ((folder / f"{name}.csv", table), (folder / f"{name}.geojson", geo)):
        if not path.exists():
            beside = path.with_name(f".{path.name}.{token_hex(4)}.part")
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)

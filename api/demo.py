"""Everything embedded: a simulated Helsingborg, from broker to work order."""

import asyncio
import os
import secrets
import shutil
import webbrowser
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from api.assets import Asset
from api.bootstrap import Platform, bind, open_platform
from api.clock import Clock
from api.datadir import read_json, write_json
from api.errors import BadInputError
from api.progress import Progress
from api.running import side_by_side, stop_signal, until
from api.settings import Settings
from api.street.assets_import import asset_of, text
from firmware_sim.live import LiveCity
from firmware_sim.scenario import load_scenario
from firmware_sim.telling import counter_batches, history
from firmware_sim.world import City, build_city

__all__ = ["DemoOptions", "run_demo"]

STATE = "demo.json"
DAY_MS = 86_400_000
SAVE_EVERY_S = 1.0
# What a killed demo may not have sent yet is sent again; the journal knows it by its identity.
RESEND_MS = 1_800_000
CHUNK = 400
EARLIER_COUNT_DAYS = 35
DAYS_AT_ONCE = 7


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What can be asked of the demo.

    Attributes
    ----------
    lamps : int
        Luminaires in its streets.
    speed : float
        Simulated seconds per real second.
    fresh : bool
        Throw away what an earlier demo left in the folder.
    history : bool
        Whether 21 nights have passed before it begins.
    browse : bool
        Whether to open the browser.
    """

    lamps: int = 500
    speed: float = 60.0
    fresh: bool = False
    history: bool = True
    browse: bool = True


async def run_demo(settings: Settings, options: DemoOptions, progress: Progress) -> None:
    """Run the demo until SIGINT or SIGTERM.

    Raises
    ------
    BadInputError
        If the port is taken, the folder is in use or holds something else.
    """
    folder = settings.data_dir
    if folder.exists() and not folder.is_dir():
        raise BadInputError(f"{folder} is not a folder", remedy="Name another with --data.")
    listener = bind(settings.http.host, settings.http.port)
    port = listener.getsockname()[1]
    if options.fresh:
        _clear(folder)
    kept = read_json(folder / STATE, remedy="Start the demo with --fresh.") or {}
    if kept and kept["lamps"] != options.lamps:
        raise BadInputError(
            f"the demo in {folder} has {kept['lamps']} luminaires, not {options.lamps}",
            remedy=f"Say --lamps {kept['lamps']}, --fresh, or another --data.",
        )
    scenario = load_scenario("demo").changed(luminaires=options.lamps)
    city = build_city(scenario, state=folder / "city.json")
    clock = Clock(start_ms=kept.get("now_ms", scenario.stop_ms), speed=options.speed, held=True)
    token = secrets.token_urlsafe(24)
    state = _State(folder / STATE, clock, kept | {"lamps": options.lamps})
    stopping = stop_signal()
    async with open_platform(
        settings,
        clock=clock,
        demo_token=token,
        rounds_from_ms=scenario.start_ms if options.history else scenario.stop_ms - DAY_MS,
        told=progress.step,
    ) as platform:
        _put_city(platform, city)
        progress.step("city", f"city: {options.lamps} luminaires in {len(city.feeders)} feeders")
        if options.history and not kept.get("history_done"):
            state.save()
            await until(_tell_history(platform, city, progress), stopping)
        if stopping.is_set():
            return
        state.values["history_done"] = True
        state.values["boot"] = kept.get("boot", 0) + 1
        if platform.broker is None:
            raise BadInputError("the demo needs its broker")
        url = f"http://{settings.http.host}:{port}/"
        state.values |= {
            "pid": os.getpid(),
            "url": url,
            "token": token,
            "mqtt_host": platform.broker.host,
            "mqtt_port": platform.broker.port,
        }
        live = LiveCity(
            city,
            clock,
            platform.broker.host,
            platform.broker.port,
            boot=state.values["boot"],
            since_ms=clock.now_ms() - (RESEND_MS if kept else 0),
        )
        clock.release()
        async with side_by_side(platform.run(listener), live.run(), state.keep()) as died:
            progress.step("seeded", "faults were set in; `--json` names them", faults=_seeded(city))
            progress.step(
                "ready",
                f"open {url}   (Ctrl-C ends it)",
                url=url,
                token=token,
                data=str(folder),
                mqtt_host=platform.broker.host,
                mqtt_port=platform.broker.port,
            )
            if options.browse and _has_desktop():
                webbrowser.open(url)
            await until(died, stopping)
        state.save()
        progress.step("stopping", "stopping; the next start goes on from here")


class _State:
    """What the next start must know, written while the demo runs."""

    def __init__(self, path: Path, clock: Clock, values: dict[str, Any]) -> None:
        self.path = path
        self.clock = clock
        self.values = values

    def save(self) -> None:
        self.values["now_ms"] = self.clock.now_ms()
        write_json(self.path, self.values)

    async def keep(self) -> None:
        """Note the time again and again: a killed demo goes on from about there."""
        while True:
            self.save()
            await asyncio.sleep(SAVE_EVERY_S)


def _clear(folder: Path) -> None:
    """Remove an earlier demo's folder, and nothing else that may be called the same."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / STATE).exists():
        raise BadInputError(
            f"{folder} holds something that is no demo; --fresh would delete it",
            remedy="Empty it yourself, or name another with --data.",
        )
    shutil.rmtree(folder)


def _has_desktop() -> bool:
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _put_city(platform: Platform, city: City) -> None:
    if platform.ledger is not None:
        assets = [
            asset_of({name: text(cell) for name, cell in row.items()}) for row in city.assets_rows()
        ]
        assets = in_areas(assets)
        platform.ledger.put_assets(assets, now_ms=platform.clock.now_ms(), whole=True)
        platform.publish_registry()


def in_areas(assets: list[Asset]) -> list[Asset]:
    """The city in two contractors' areas, north and south: whole cabinets, by where they stand."""
    by_cabinet: dict[str, list[float]] = defaultdict(list)
    for one in assets:
        by_cabinet[one.cabinet or one.site].append(one.lat or 0.0)
    latitudes = {name: median(lats) for name, lats in by_cabinet.items()}
    middle = median(latitudes.values())
    names = {name: "Norr" if lat >= middle else "Söder" for name, lat in latitudes.items()}
    return [replace(one, area=names[one.cabinet or one.site]) for one in assets]


def _seeded(city: City) -> list[dict[str, str]]:
    names = (
        "fault_id",
        "kind",
        "device_id",
        "start",
        "end",
        "incident",
        "cause_kind",
        "cause_id",
        "severity",
    )
    return [dict(zip(names, row, strict=True)) for row in city.truth_rows()]


async def _tell_history(platform: Platform, city: City, progress: Progress) -> None:
    """Bring the nights before the start the way every message goes, and judge them."""
    scenario = city.scenario
    if platform.hand_in is None or platform.shipper is None or platform.rounds is None:
        raise BadInputError("the demo needs journal, store and rounds")
    # Eight weeks of counts, where the lights have three: low-activity hours ask for them.
    first_day = scenario.start_ms // DAY_MS - EARLIER_COUNT_DAYS
    for day in range(first_day, scenario.start_ms // DAY_MS, DAYS_AT_ONCE):
        counted = await asyncio.to_thread(_counted, city, day, DAYS_AT_ONCE)
        await asyncio.to_thread(platform.hand_in.put, counted)
    messages = history(city, scenario.start_ms, scenario.stop_ms)
    total = scenario.stop_ms - scenario.start_ms
    text = f"{scenario.scenario.days} nights of history"
    while chunk := await asyncio.to_thread(_take, messages):
        await asyncio.to_thread(platform.hand_in.put, chunk)
        progress.advance("history", text, chunk[-1][2] - scenario.start_ms, total)
    await platform.shipper.drain()
    progress.step("history", f"history: {text}, stored")
    due = platform.rounds.due()
    for number, one in enumerate(due, 1):
        await asyncio.to_thread(platform.rounds.catch_up, [one])
        progress.advance("rounds", "judging the nights", number, len(due))
    progress.step("rounds", f"rounds: {len(due)} run")


def _counted(city: City, day: int, days: int) -> list[tuple[str, bytes, int]]:
    return [
        (topic, payload, received_ms)
        for received_ms, topic, payload in counter_batches(
            city, day, days, DAY_MS, start_ms=day * DAY_MS, stop_ms=(day + days) * DAY_MS
        )
    ]


def _take(messages: Iterator[tuple[str, bytes, int]]) -> list[tuple[str, bytes, int]]:
    return list(islice(messages, CHUNK))

"""`simulate`, `record`, `replay`."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from api.datadir import DEMO_FOLDER
from api.errors import BadInputError, LjusvaktError

if TYPE_CHECKING:
    from firmware_sim.fleet import Outgoing
    from firmware_sim.publishing import BrokerAddress, Counts
    from firmware_sim.recording import Recorded
    from firmware_sim.scenario import Scenario

__all__ = ["register"]

T = TypeVar("T")
ScenarioArg = Annotated[
    str,
    typer.Argument(
        help="A scenario file, or demo | easy | realistic | hard | nuisances | outages."
    ),
]
BrokerOpt = Annotated[str | None, typer.Option("--broker", help="mqtt://host:port")]
JsonOpt = Annotated[bool, typer.Option("--json", help="One JSON object at the end.")]


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    app.command()(simulate)
    app.command()(record)
    app.command()(replay)


def say(facts: dict[str, Any], *, as_json: bool) -> None:
    """The result, for a program or for a person."""
    if as_json:
        sys.stdout.write(json.dumps(facts, ensure_ascii=False) + "\n")
        return
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        sys.stdout.write(f"{name.removesuffix('_ms').replace('_', ' '):<{width}}  ")
        sys.stdout.write(f"{shown(name, value)}\n")


def shown(name: str, value: object) -> object:
    """A fact as people read it: moments as moments, thousands apart, lists as words."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        if name == "time_ms":
            return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(str, cast("list[object]", value)))
    return round(value, 3) if isinstance(value, float) else value


def running(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; what the simulator says becomes what the program says."""
    from firmware_sim.errors import PublishError, SimulatorError

    try:
        return asyncio.run(work)
    except PublishError as error:
        raise LjusvaktError(error.message, remedy=error.remedy) from error
    except SimulatorError as error:
        raise BadInputError(error.message, remedy=error.remedy) from error


async def until_stopped(work: Coroutine[Any, Any, Any]) -> None:
    """Work until it is done, or until Ctrl-C or SIGTERM; either way what follows is still done."""
    from api.running import stop_signal, until

    await until(work, stop_signal())


def checked_scenario(name: str) -> "Scenario":
    """Read a scenario, with the simulator's own words when it cannot be used."""
    from firmware_sim.errors import SimulatorError
    from firmware_sim.scenario import load_scenario

    try:
        return load_scenario(name)
    except SimulatorError as error:
        raise BadInputError(error.message, remedy=error.remedy) from error


def broker_at(url: str) -> "BrokerAddress":
    """Read a broker's address."""
    from firmware_sim.errors import SimulatorError
    from firmware_sim.publishing import BrokerAddress

    try:
        return BrokerAddress.parse(url)
    except SimulatorError as error:
        raise BadInputError(error.message, remedy=error.remedy) from error


def speed_of(text: str) -> float | None:
    """`1`, `60`, `max`: how many times faster than recorded; None for as fast as it goes."""
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise BadInputError(f"--speed {text!r} is no speed.", remedy="Use 1, 60 or max.")
    return speed


def share_of(name: str, value: float) -> float:
    """A share from the command line."""
    if not 0 <= value <= 1:
        raise BadInputError(f"{name} {value:g} is no share.", remedy="Use a number from 0 to 1.")
    return value


def simulate(
    scenario: ScenarioArg = "demo",
    *,
    out: Annotated[Path | None, typer.Option(help="Write files into this folder.")] = None,
    form: Annotated[
        str, typer.Option("--format", help="parquet | csv, of the readings.")
    ] = "parquet",
    broker: BrokerOpt = None,
    speed: Annotated[str, typer.Option(help="1 | 60 | max, with --broker.")] = "1",
    seconds: Annotated[
        float | None, typer.Option(help="Stop after so many real seconds.", min=0.1)
    ] = None,
    batch: Annotated[
        int, typer.Option(help="With --speed max: so many hours in a message.", min=0, max=24)
    ] = 0,
    days: Annotated[int | None, typer.Option(help="Instead of the scenario's.", min=1)] = None,
    lamps: Annotated[
        int | None, typer.Option(help="Luminaires, instead of the scenario's.", min=1)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the scenario's.", min=0)] = None,
    start: Annotated[str | None, typer.Option(help="First day, YYYY-MM-DD.")] = None,
    processes: Annotated[int | None, typer.Option(help="Default: all cores.", min=1)] = None,
    devices: Annotated[
        int | None, typer.Option(help="Load: so many devices, no city.", min=1)
    ] = None,
    rate: Annotated[float, typer.Option(help="Load: messages a second over all devices.")] = 100.0,
    rows: Annotated[int, typer.Option(help="Load: readings in a message.", min=1, max=1000)] = 1,
    connections: Annotated[int, typer.Option(help="Load: MQTT connections.", min=1)] = 8,
    corrupt: Annotated[float, typer.Option(help="Load: share of damaged messages.")] = 0.0,
    storm: Annotated[float, typer.Option(help="Load: drop all connections every so many s.")] = 0.0,
    into_demo: Annotated[
        bool, typer.Option("--into-demo", help="Set a fault into the running demo.")
    ] = False,
    data: Annotated[Path, typer.Option(help="Data folder of the running demo.")] = DEMO_FOLDER,
    fault: Annotated[str | None, typer.Option(help="Kind of fault for --into-demo.")] = None,
    device: Annotated[str | None, typer.Option(help="Where: a device ...")] = None,
    feeder: Annotated[str | None, typer.Option(help="... a feeder ...")] = None,
    segment: Annotated[str | None, typer.Option(help="... a segment (five in a row) ...")] = None,
    gateway: Annotated[str | None, typer.Option(help="... or a gateway.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="End the faults there instead.")] = False,
    as_json: JsonOpt = False,
) -> None:
    """A simulated city as files or over MQTT; a load; or a fault set into the running demo."""
    if into_demo:
        where = {"device": device, "feeder": feeder, "segment": segment, "gateway": gateway}
        say(change_demo(data, fault, where, repair=repair), as_json=as_json)
        return
    if devices is not None:
        if broker is None:
            raise BadInputError("a load needs a broker.", remedy="Add --broker mqtt://host:1883.")
        share_of("--corrupt", corrupt)
        say(
            load(
                broker, devices, rate, seconds or 60.0, rows, connections, corrupt, storm, seed or 1
            ),
            as_json=as_json,
        )
        return
    wanted = checked_scenario(scenario).changed(
        start=first_day(start), days=days, luminaires=lamps, seed=seed
    )
    if out is not None:
        say(to_files(wanted, out, form, processes), as_json=as_json)
    elif broker is not None:
        say(to_broker(wanted, broker, speed_of(speed), seconds, batch), as_json=as_json)
    else:
        raise BadInputError(
            "nowhere to send the city.", remedy="Add --out FOLDER or --broker mqtt://host:1883."
        )


def first_day(text: str | None) -> Any:
    """A date from the command line."""
    from datetime import date

    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise BadInputError(f"--start {text!r} is no date.", remedy="Write YYYY-MM-DD.") from error


def to_files(scenario: "Scenario", out: Path, form: str, processes: int | None) -> dict[str, Any]:
    """Write a scenario as files."""
    from api.progress import TextProgress
    from firmware_sim.feed import write_feed

    if form not in {"parquet", "csv"}:
        raise BadInputError(f"--format {form!r} is unknown.", remedy="Use parquet or csv.")
    progress = TextProgress(sys.stderr)

    def tell(done: int, total: int) -> None:
        progress.advance("simulate", f"{done} of {total} feeders", done, total)

    try:
        summary = write_feed(scenario, out, processes=processes, form=form, progress=tell)
    except OSError as error:
        raise BadInputError(f"{out}: cannot be written ({error.strerror}).") from error
    return asdict(summary)


def to_broker(
    scenario: "Scenario", broker: str, speed: float | None, seconds: float | None, batch: int
) -> dict[str, Any]:
    """Let a scenario live on a broker, or send its days as fast as the broker takes them."""
    import time

    from firmware_sim.world import build_city

    address = broker_at(broker)
    city = build_city(scenario)
    # A number of its own for every start: receipts of an earlier run say nothing about this one.
    boot = int(time.time())
    if speed is None:
        from firmware_sim.publishing import computed
        from firmware_sim.samples import samples
        from firmware_sim.telling import history, in_pieces

        if batch:
            pieces = in_pieces(
                history(
                    city,
                    scenario.start_ms,
                    scenario.stop_ms,
                    batch_ms=batch * 3_600_000,
                    boot=boot,
                )
            )
        else:
            pieces = samples(city, boot)
        counts = running(send_all(computed(pieces, seconds=seconds), address))
        return {"devices": city.plan.device_count, **asdict(counts)}
    from api.clock import Clock
    from firmware_sim.live import LiveCity
    from firmware_sim.publishing import say_hello

    clock = Clock() if speed == 1 else Clock(start_ms=scenario.start_ms, speed=speed)
    live = LiveCity(
        city, clock, address.host, address.port, username=address.username,
        password=address.password, tls=address.tls, boot=boot,
    )  # fmt: skip

    async def lives() -> None:
        await say_hello(address)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await live.run()

    running(until_stopped(lives()))
    return {"devices": city.plan.device_count, "published": live.published}


async def send_all(pieces: "AsyncIterator[list[Outgoing]]", address: "BrokerAddress") -> "Counts":
    """Publish messages, with progress on a terminal."""
    from api.progress import TextProgress
    from firmware_sim.publishing import publish_messages

    progress = TextProgress(sys.stderr)

    def tell(counts: "Counts") -> None:
        text = f"{counts.acknowledged:,} acknowledged"
        progress.advance("publish", text, counts.acknowledged, max(counts.sent, 1))

    return await publish_messages(pieces, address, on_progress=tell)


def load(
    broker: str,
    devices: int,
    rate: float,
    seconds: float,
    rows: int,
    connections: int,
    corrupt: float,
    storm: float,
    seed: int,
) -> dict[str, Any]:
    """Send a load."""
    from api.progress import TextProgress
    from firmware_sim.load import LoadCounts, LoadPlan, run_load

    if not 0 < rate < float("inf"):
        raise BadInputError(f"--rate {rate:g} is no rate.", remedy="Use a number above 0.")
    progress = TextProgress(sys.stderr)
    plan = LoadPlan(devices, rate, seconds, rows, connections, corrupt, storm, seed)

    def tell(counts: LoadCounts) -> None:
        total = max(int(rate * seconds), 1)
        progress.advance("load", f"{counts.messages:,} messages", counts.messages, total)

    return asdict(running(run_load(plan, broker_at(broker), on_progress=tell)))


def change_demo(
    data: Path, kind: str | None, where: dict[str, str | None], *, repair: bool
) -> dict[str, Any]:
    """Set a fault into the running demo, or end one."""
    from firmware_sim.control import ask_demo
    from firmware_sim.publishing import BrokerAddress

    given = {name: value for name, value in where.items() if value is not None}
    if len(given) != 1:
        raise BadInputError(
            "one place is needed.", remedy="Give --device, --feeder, --segment or --gateway."
        )
    if not repair and kind is None:
        default = {"feeder": "feeder_out", "segment": "five_in_a_row", "gateway": "gateway_dead"}
        kind = default.get(next(iter(given)), "lamp_failure")
    try:
        running_demo = json.loads((data / "demo.json").read_text("utf-8"))
        address = BrokerAddress(
            running_demo["mqtt_host"], int(running_demo["mqtt_port"]),
            running_demo.get("mqtt_username"), running_demo.get("mqtt_password"),
        )  # fmt: skip
    except (OSError, ValueError, KeyError) as error:
        raise BadInputError(
            f"no running demo in {data} ({error}).",
            remedy="Start `ljusvakt demo`, or give its --data.",
        ) from error
    wanted: dict[str, object] = {
        "action": "repair" if repair else "fault", "target": next(iter(given.values())),
    }  # fmt: skip
    if not repair:
        wanted["kind"] = kind
    answer = running(ask_demo(address, wanted))
    if not answer.get("ok"):
        raise BadInputError(str(answer.get("problem")))
    return {**wanted, "time_ms": answer.get("time_ms"), "feeders": answer.get("feeders", [])}


def record(
    *,
    broker: Annotated[str, typer.Option(help="mqtt://host:port")],
    out: Annotated[Path, typer.Option(help="FILE.jsonl or FILE.jsonl.gz")],
    topics: Annotated[list[str] | None, typer.Option(help="Topic filter; may be repeated.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long.", min=0.1)] = None,
    limit: Annotated[int | None, typer.Option(help="Stop after so many messages.", min=1)] = None,
    as_json: JsonOpt = False,
) -> None:
    """Write what a broker carries into a file that `replay` can send again."""
    from api.progress import TextProgress
    from firmware_sim.publishing import record_messages
    from firmware_sim.recording import RecordingWriter

    progress = TextProgress(sys.stderr)
    filters = topics or ["ljusvakt/v1/+/+/+", "application/+/device/+/event/+", "v3/+/devices/+/+"]

    def tell(count: int) -> None:
        progress.advance("record", f"{count:,} messages", count, limit or count + 1)

    try:
        with RecordingWriter(out) as writer:
            running(
                until_stopped(
                    record_messages(
                        broker_at(broker), filters, writer, seconds=seconds, limit=limit,
                        on_message=tell,
                    )
                )
            )  # fmt: skip
            count = writer.count
    except OSError as error:
        raise BadInputError(f"{out}: cannot be written ({error.strerror}).") from error
    say({"file": str(out), "messages": count}, as_json=as_json)


def replay(
    files: Annotated[list[Path], typer.Argument(help="Recordings, captures, tables.")],
    *,
    broker: Annotated[str, typer.Option(help="mqtt://host:port")],
    speed: Annotated[str, typer.Option(help="1 | 60 | max")] = "max",
    shift_to: Annotated[str | None, typer.Option(help="now: the last message becomes now.")] = None,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="In random order.")] = False,
    duplicate: Annotated[float, typer.Option(help="Share sent twice.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of --shuffle and --duplicate.")] = 1,
    as_json: JsonOpt = False,
) -> None:
    """Send recorded messages to a broker; returns when every one was acknowledged."""
    import time

    from firmware_sim.errors import SimulatorError
    from firmware_sim.publishing import paced
    from firmware_sim.recording import shifted
    from firmware_sim.replayed import read_messages

    share_of("--duplicate", duplicate)
    if shift_to not in {None, "now"}:
        raise BadInputError(f"--shift-to {shift_to!r} is unknown.", remedy="Use now.")
    try:
        messages = [message for file in files for message in read_messages(file)]
    except SimulatorError as error:
        raise BadInputError(error.message, remedy=error.remedy) from error
    messages.sort(key=lambda message: message.received_ms)
    read = len(messages)
    if shift_to == "now" and messages:
        by_ms = time.time_ns() // 1_000_000 - messages[-1].received_ms
        messages = [shifted(message, by_ms) for message in messages]
    messages = disturbed(messages, shuffle=shuffle, duplicate=duplicate, seed=seed)
    counts = running(send_all(paced(messages, speed_of(speed)), broker_at(broker)))
    say({"files": len(files), "read": read, **asdict(counts)}, as_json=as_json)


def disturbed(
    messages: "list[Recorded]", *, shuffle: bool, duplicate: float, seed: int
) -> "list[Recorded]":
    """Some messages twice, all in another order, as asked."""
    from firmware_sim.streams import generator

    rng = generator(seed, "replay")
    if duplicate:
        again = rng.random(len(messages)) < duplicate
        messages = [
            m for m, twice in zip(messages, again, strict=True) for m in ([m, m] if twice else [m])
        ]
    if shuffle:
        order = rng.permutation(len(messages))
        messages = [messages[int(k)] for k in order]
    return messages

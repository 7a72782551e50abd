"""The MQTT broker: found, or started here and ended with us."""

import asyncio
import contextlib
import getpass
import logging
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from ingest import guard
from ingest.errors import BrokerError, SettingsError
from ingest.log import Log
from ingest.settings import parse_broker

__all__ = ["AMQTT_LIMITS", "RunningBroker", "find_mosquitto", "mosquitto_config", "open_broker"]

log = Log("ingest.broker")

START_S = 15.0
STOP_S = 12.0

AMQTT_LIMITS = (
    "the embedded broker amqtt serves demos and tests; it is much slower than Mosquitto",
    "it keeps nothing for a collector that is away: install mosquitto for the no-loss promise",
    "it speaks MQTT 3.1.1 only, and shared subscriptions deliver nothing",
)
"""What to tell people when amqtt is what there is."""


@dataclass(slots=True)
class RunningBroker:
    """A broker that takes connections.

    Attributes
    ----------
    kind : str
        "mosquitto", "amqtt" or "external".
    tls : bool
        Whether its address asks for TLS.
    protocol : str
        For `MqttSettings.protocol`: what to speak first.
    limits : tuple of str
        What it cannot promise, for people to read.
    pid : int or None
        Of the process that was started here.
    """

    kind: str
    host: str
    port: int
    tls: bool = False
    protocol: str = "auto"
    limits: tuple[str, ...] = ()
    pid: int | None = None
    _stop: Callable[[], Awaitable[None]] | None = field(default=None, repr=False)

    async def stop(self) -> None:
        """End what was started here, and wait for it; an external broker goes on."""
        if self._stop is not None:
            stop, self._stop = self._stop, None
            await stop()


def find_mosquitto() -> Path | None:
    """Mosquitto's program; Debian keeps it where a normal user's PATH does not look."""
    found = shutil.which("mosquitto")
    for candidate in (found, "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"):
        if candidate and os.access(candidate, os.X_OK):
            return Path(candidate)
    return None


async def open_broker(choice: str, folder: Path, *, port: int = 1883) -> RunningBroker:
    """Find or start a broker.

    Parameters
    ----------
    choice : str
        "auto" (Mosquitto if it is installed, else amqtt), "mosquitto", "amqtt", or the address of
        one that runs: `mqtt://host:port`, `mqtts://host:port`.
    folder : Path
        Where a broker started here keeps its configuration and what it must not lose.
    port : int
        Where one started here listens on 127.0.0.1; 0 = any free port.

    Raises
    ------
    SettingsError
        If the choice is not understood or the port is taken.
    BrokerError
        If it cannot be found or does not start.
    """
    if "://" in choice:
        host, port, tls = parse_broker(choice)
        return RunningBroker("external", host, port, tls)
    if choice not in {"auto", "mosquitto", "amqtt"}:
        raise SettingsError(
            f"broker is {choice!r}; it must be auto, mosquitto, amqtt or mqtt://host:port"
        )
    port = _usable_port(port)
    program = find_mosquitto() if choice != "amqtt" else None
    if program is not None:
        return await _start_mosquitto(program, folder, port)
    if choice == "mosquitto":
        raise BrokerError(
            "mosquitto was not found: install it (Debian: apt-get install mosquitto), "
            "or set broker = auto"
        )
    return await _start_amqtt(port)


def _usable_port(port: int) -> int:
    with socket.socket() as probe:
        # A listener that ended a moment ago leaves connections behind that are in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise SettingsError(
                f"port {port} for the broker is not free ({error.strerror}): stop what uses it, "
                "or set broker_port (0 = any)"
            ) from error
        free: int = probe.getsockname()[1]
        return free


def mosquitto_config(folder: Path, port: int) -> str:
    """Mosquitto's configuration for a broker of our own on loopback.

    Every setting that could lose what was acknowledged is set: by default Mosquitto drops what goes
    beyond 1,000 queued messages of an absent collector, and saves every half hour only.
    """
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "persistence true",
        f"persistence_location {folder}{os.sep}",
        "autosave_interval 1",
        "max_queued_messages 0",
        "max_inflight_messages 0",
        "set_tcp_nodelay true",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type notice",
        "connection_messages false",
    ]
    if os.geteuid() == 0:
        # Otherwise it becomes user `mosquitto`, who cannot write to our folder.
        lines.append(f"user {getpass.getuser()}")
    return "\n".join(lines) + "\n"


def _spawn_mosquitto(
    program: Path, folder: Path, port: int
) -> tuple["subprocess.Popen[bytes]", Path]:
    """The guarded process, and where its output goes."""
    folder = folder.absolute()
    if "\n" in str(folder):
        raise SettingsError(f"the folder {str(folder)!r} has a line break in its name")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "mosquitto.conf"
    config.write_text(mosquitto_config(folder, port), encoding="utf-8")
    output = folder / "mosquitto.log"
    with output.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - the program was looked up
            [sys.executable, "-S", "-E", guard.__file__, str(program), "-c", str(config)],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            start_new_session=True,  # Ctrl-C reaches us, and we end the broker in order
        )
    return process, output


async def _start_mosquitto(program: Path, folder: Path, port: int) -> RunningBroker:
    # Not through a thread: the parent-death signal follows the thread that started it.
    process, output = _spawn_mosquitto(program, folder, port)

    async def stop() -> None:
        await _end(process)

    try:
        await _listening(port, process, output)
    except BaseException:
        await stop()
        raise
    log.info("broker started", kind="mosquitto", port=port)
    return RunningBroker("mosquitto", "127.0.0.1", port, pid=process.pid, _stop=stop)


async def _listening(port: int, process: "subprocess.Popen[bytes]", output: Path) -> None:
    """Wait until the broker takes connections."""
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + START_S
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return
        if process.poll() is not None or loop.time() > give_up_s:
            raise BrokerError(
                f"mosquitto did not start on port {port}: {_last_line(output)}"
                f" (all of it is in {output})"
            )
        await asyncio.sleep(0.02)


def _last_line(output: Path) -> str:
    said = output.read_text(errors="replace").strip().splitlines()
    return said[-1] if said else "it said nothing"


async def _end(process: "subprocess.Popen[bytes]") -> None:
    """Close the pipe; the guard ends the broker with SIGTERM, so that it saves what it holds."""
    assert process.stdin is not None  # noqa: S101 - it was started with a pipe
    process.stdin.close()
    try:
        await asyncio.to_thread(process.wait, STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.wait)


async def _start_amqtt(port: int) -> RunningBroker:
    from amqtt.broker import Broker  # takes half a second to import

    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.ERROR)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
            },
        }
    )
    try:
        await broker.start()
    except Exception as error:
        raise BrokerError(f"the embedded broker did not start on port {port}: {error}") from error
    for limit in AMQTT_LIMITS:
        log.warning(limit)
    return RunningBroker(
        "amqtt",
        "127.0.0.1",
        port,
        protocol="3.1.1",
        limits=AMQTT_LIMITS,
        _stop=broker.shutdown,
    )

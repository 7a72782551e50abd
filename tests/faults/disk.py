"""Runs a program on a disk that fails or forgets, and says what a power cut would have left."""

import os
import random
import struct
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

HEAD = struct.Struct("<cIqI")
SECTOR = 512  # a disk writes these whole


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the disk: W write, S sync, T truncate, U unlink."""

    letter: str
    path: str
    offset: int
    data: bytes


def build(folder: Path) -> Path:
    """The library that goes under a process."""
    library = folder / "disk.so"
    source = Path(__file__).with_name("disk.c")
    compiler = next((c for c in ("cc", "gcc", "clang") if _runs(c)), None)
    if compiler is None:
        from conftest import absent

        absent("a C compiler")
    subprocess.run(
        [str(compiler), "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"],
        check=True,
    )
    return library


def _runs(program: str) -> bool:
    try:
        subprocess.run([program, "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def run_on_disk(
    library: Path, folder: Path, script: str, *args: str, log: Path | None = None, **faults: int
) -> int:
    """Run a script with its folder on the disk; its exit code."""
    environment = os.environ | {"LD_PRELOAD": str(library), "DISK_FOLDER": str(folder)}
    if log is not None:
        environment["DISK_LOG"] = str(log)
    environment |= {f"DISK_{name.upper()}": str(value) for name, value in faults.items()}
    return subprocess.run(
        [sys.executable, script, str(folder), *args],
        env=environment,
        timeout=120,
        check=False,
        stderr=subprocess.DEVNULL,
    ).returncode


def calls_of(log: Path) -> list[Call]:
    """The calls, in their order."""
    data = log.read_bytes()
    calls: list[Call] = []
    at = 0
    while at + HEAD.size <= len(data):
        letter, path_size, offset, size = HEAD.unpack_from(data, at)
        at += HEAD.size
        path = data[at : at + path_size].decode()
        at += path_size
        calls.append(Call(letter.decode(), path, offset, data[at : at + size]))
        at += size
    return calls


def after_power_cut(
    calls: list[Call], rng: random.Random, *, keep: float = 0.5
) -> dict[str, bytes]:
    """What the files hold after the power went when these calls had been made.

    All that came before a file's last sync is there. Of what came after it each sector is there or
    not, as chance has it; the order in which a disk writes is not ours.
    """
    content: dict[str, bytearray] = defaultdict(bytearray)
    waiting: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        if call.letter == "U":  # folders are taken to be synced at once
            waiting.pop(call.path, None)
            content.pop(call.path, None)
        elif call.letter == "S":
            for one in waiting.pop(call.path, []):
                _apply(content[call.path], one, None, keep)
            content[call.path]
        else:
            waiting[call.path].append(call)
    for path, several in waiting.items():
        for one in several:
            _apply(content[path], one, rng, keep)
    return {path: bytes(data) for path, data in content.items()}


def _apply(content: bytearray, call: Call, rng: random.Random | None, keep: float) -> None:
    if call.letter == "T":
        if rng is None or rng.random() < keep:
            del content[call.offset :]
            content.extend(bytes(call.offset - len(content)))
        return
    end = call.offset + len(call.data)
    at = call.offset
    while at < end:
        stop = min(end, (at // SECTOR + 1) * SECTOR)
        if rng is None or rng.random() < keep:
            content.extend(bytes(max(0, stop - len(content))))
            content[at:stop] = call.data[at - call.offset : stop - call.offset]
        at = stop


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk, compiled once."""
    return build(tmp_path_factory.mktemp("disk"))

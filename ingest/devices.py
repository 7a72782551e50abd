"""Which devices exist, as ingest needs to know it: a versioned snapshot that `api` writes."""

import fnmatch
import os
import re
from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from ingest.errors import SettingsError

__all__ = ["CodecRule", "DeviceEntry", "Registry", "RegistryFile"]

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_EUI: Final = re.compile(r"[0-9A-F]{16}")


class DeviceEntry(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One device that may talk to us.

    Attributes
    ----------
    device_id : str
        Matches `[A-Za-z0-9_-]{1,64}`.
    dev_eui : str
        LoRaWAN DevEUI, 16 upper-case hexadecimal digits; empty for a device without one.
    codec : str
        Payload codec family (`nas`, `elsys`, ...); empty leaves it to profile name and rules.
    model : str
        What the codec needs to know of the model; may be empty.
    interval_s : float or None
        How often it is expected to report [s].
    max_illuminance_lx : float or None
        End of its light sensor's range [lx]; 65535 makes that value a reading.
    username : str
        Broker user of the device; empty = its device id.
    group : str
        The only group whose topics it may use; empty = any.
    """

    device_id: str
    dev_eui: str = ""
    codec: str = ""
    model: str = ""
    interval_s: float | None = None
    max_illuminance_lx: float | None = None
    username: str = ""
    group: str = ""


class CodecRule(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The operator's word: device profiles named like `profile` speak `codec`.

    Attributes
    ----------
    profile : str
        Shell pattern over the network server's device profile name, upper and lower case alike;
        `*` alone also covers devices whose network server names no profile.
    codec, model : str
    """

    profile: str
    codec: str
    model: str = ""

    def fits(self, profile: str) -> bool:
        """Whether a device profile of this name is meant."""
        return fnmatch.fnmatchcase(profile.casefold(), self.profile.casefold())


class _Snapshot(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    devices: list[DeviceEntry]
    enrol: bool = False
    rules: list[CodecRule] = []


class Registry:
    """An immutable snapshot of the devices that exist.

    Parameters
    ----------
    devices : iterable of DeviceEntry
    enrol : bool
        Whether devices that are not listed are accepted (demo, replay, import).
    rules : iterable of CodecRule
        Asked in order after the device's own entry and its profile name.
    version : int
        Rises with every snapshot `api` writes.

    Raises
    ------
    SettingsError
        If an id or DevEUI is malformed or given twice.
    """

    __slots__ = ("_by_eui", "_by_id", "enrol", "rules", "version")

    def __init__(
        self,
        devices: Iterable[DeviceEntry] = (),
        *,
        enrol: bool = False,
        rules: Iterable[CodecRule] = (),
        version: int = 0,
    ) -> None:
        by_id: dict[str, DeviceEntry] = {}
        by_eui: dict[str, DeviceEntry] = {}
        for entry in devices:
            _check(entry, by_id, by_eui)
            by_id[entry.device_id] = entry
            if entry.dev_eui:
                by_eui[entry.dev_eui] = entry
        self._by_id = MappingProxyType(by_id)
        self._by_eui = MappingProxyType(by_eui)
        self.enrol = enrol
        self.rules = tuple(rules)
        self.version = version

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, device_id: str) -> DeviceEntry | None:
        """The device of this id, or None."""
        return self._by_id.get(device_id)

    def by_eui(self, dev_eui: str) -> DeviceEntry | None:
        """The device of this DevEUI (upper-case hexadecimal), or None.

        A device whose id is its DevEUI needs no separate `dev_eui`.
        """
        return self._by_eui.get(dev_eui) or self._by_id.get(dev_eui)

    @property
    def devices(self) -> tuple[DeviceEntry, ...]:
        """Every entry, in the order given."""
        return tuple(self._by_id.values())

    @classmethod
    def load(cls, path: Path, *, enrol: bool | None = None) -> "Registry":
        """Read a snapshot; `enrol` overrides what it says.

        Raises
        ------
        SettingsError
            If the file cannot be read or is no snapshot; names the file.
        """
        try:
            snapshot = msgspec.json.decode(path.read_bytes(), type=_Snapshot)
        except OSError as error:
            raise SettingsError(f"device registry {path} cannot be read: {error}") from error
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SettingsError(f"device registry {path} is not a snapshot: {error}") from error
        return cls(
            snapshot.devices,
            enrol=snapshot.enrol if enrol is None else enrol,
            rules=snapshot.rules,
            version=snapshot.version,
        )

    def save(self, path: Path) -> None:
        """Write the snapshot so that a reader sees the old or the new one, never a part."""
        body = msgspec.json.encode(
            _Snapshot(self.version, list(self.devices), self.enrol, list(self.rules))
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with beside.open("wb") as file:
                file.write(msgspec.json.format(body, indent=1))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


class RegistryFile:
    """A snapshot on disk that is read again whenever it has changed.

    Parameters
    ----------
    path : Path
        May be absent: then there are no devices yet.
    enrol : bool or None
        Overrides what the snapshot says.
    """

    def __init__(self, path: Path, *, enrol: bool | None = None) -> None:
        self._path = path
        self._enrol = enrol
        self._seen: tuple[int, int, int] | None = None
        self._registry = Registry(enrol=bool(enrol))

    def current(self) -> Registry:
        """The newest snapshot; costs one `stat` when nothing has changed.

        Raises
        ------
        SettingsError
            If the file has changed into something that is no snapshot; the next call still gives
            the last good one, until the file changes again.
        """
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return self._registry
        mark = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if mark != self._seen:
            self._seen = mark
            self._registry = Registry.load(self._path, enrol=self._enrol)
        return self._registry


def _check(
    entry: DeviceEntry, by_id: dict[str, DeviceEntry], by_eui: dict[str, DeviceEntry]
) -> None:
    if not _ID.fullmatch(entry.device_id):
        raise SettingsError(f"device id {entry.device_id!r} is not [A-Za-z0-9_-]{{1,64}}")
    if entry.device_id in by_id:
        raise SettingsError(f"device id {entry.device_id!r} is given twice")
    if not entry.dev_eui:
        return
    if not _EUI.fullmatch(entry.dev_eui):
        raise SettingsError(
            f"device {entry.device_id}: DevEUI {entry.dev_eui!r} is not 16 upper-case hex digits"
        )
    if entry.dev_eui in by_eui:
        raise SettingsError(f"DevEUI {entry.dev_eui} is given twice")

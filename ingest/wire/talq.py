"""TALQ 2.7 log reports: what a gateway of luminaires tells us."""

import re
from collections.abc import Collection
from typing import Any, Final

import msgspec

from ingest.devices import Registry
from ingest.errors import MalformedPayloadError, Reason
from ingest.personal import refuse_personal
from ingest.plausibility import EPOCH_2262_MS
from ingest.reading import QUANTITIES, Decoded, Event, Quantity, Series
from ingest.wire.text import clean_text
from ingest.wire.times import parse_rfc3339

__all__ = ["EVENTS", "EntryProblem", "LogReport", "canonical_event", "decode", "snake_case"]

# TALQ data model 2.7.1, by function; the names as TALQ spells them.
_NAMES: Final = """
absoluteLampPowerTooHigh absoluteLampPowerTooLow
dimmingFailure powerFactorTooLow lampFailure invalidLampType highTemperature relayFailure
lampPowerTooHigh lampPowerTooLow controlGearCommFailure cyclingFailure
supplyLoss supplyVoltageTooHigh supplyVoltageTooLow contactorError lampUnexpectedOn
leakageDetected currentTooHigh currentTooLow lampVoltageTooHigh lampVoltageTooLow
communicationFailure levelTooHigh levelTooLow photocellOutputOn cabinetDoorOpen
circuitBreakerTripped localOverride switchingErrorOff switchingErrorOn controlGearFailure limitError
powerCycleSeen controlGearExternalSupplyOvervoltage controlGearExternalSupplyUndervoltage
controlGearOutputPowerLimitation controlGearOverallFailureCondition controlGearThermalDerating
controlGearThermalShutdown lightSourceOpenCircuit lightSourceShortCircuit
lightSourceOverallFailureCondition lightSourceThermalDerating lightSourceThermalShutdown deviceReset
batteryMode batteryShutdown installationMode maintenanceMode locationUpdated deviceMalfunction
functionError notInProperPosition impactDetected
""".split()  # noqa: SIM905 - read as the list it is

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_ENTRIES: Final = 10_000


def snake_case(name: str) -> str:
    """TALQ's `lampFailure` as `lamp_failure`."""
    return _HUMP.sub("_", name).lower()


EVENTS: Final = frozenset(snake_case(name) for name in _NAMES)
"""Every event name a device may report, in snake case."""

# Spelled wrongly in earlier editions, and carried beside the right spelling for ever.
_DEPRECATED: Final = {
    "control_gear_com_failure": "control_gear_comm_failure",
    "absolut_lamp_power_too_high": "absolute_lamp_power_too_high",
    "absolut_lamp_power_too_low": "absolute_lamp_power_too_low",
}


def canonical_event(name: str) -> str | None:
    """The event name as it is kept, from snake or camel case and either spelling; None if none."""
    snake = snake_case(name)
    snake = _DEPRECATED.get(snake, snake)
    return snake if snake in EVENTS else None


# Attributes that are quantities of ours. `inputValue` of DALI 304 is labelled "Lux" in the
# specification, but it is relative: never illuminance. Power and energy wait until somebody has
# checked their units, which differ between functions.
_ATTRIBUTES: Final = {
    "lightLevel": Quantity.ILLUMINANCE,
    "actualLightState": Quantity.DIMMING,
}
_COUNTERS: Final = {
    "roadUserNumber": Quantity.PEOPLE_COUNT,
    "accumulatedRoadUserNumber": Quantity.PEOPLE_COUNT_TOTAL,
}
_ENTRY_TYPES: Final = frozenset({"EventLogData", "AttributeLogData", "StateChangeEventLogData"})


class EntryProblem(msgspec.Struct, frozen=True, gc=False):
    """Why one entry of a log report could not be used.

    Attributes
    ----------
    index : int
        Of the entry, from 0.
    reason : Reason
    detail : str
    """

    index: int
    reason: Reason
    detail: str


class LogReport(msgspec.Struct):
    """What a log report held.

    Attributes
    ----------
    decoded : Decoded
        Readings and fault reports, not judged yet; `skipped` counts known entries that are no
        quantity of ours.
    problems : list of EntryProblem
        Entries that could not be used; the others are good.
    """

    decoded: Decoded
    problems: list[EntryProblem]

    def by_device(self) -> list[Decoded]:
        """The same, a part for each device: each has a clock of its own."""
        parts: dict[str, Decoded] = {}
        for series in self.decoded.series:
            parts.setdefault(series.device_id, Decoded()).series.append(series)
        for event in self.decoded.events:
            parts.setdefault(event.device_id, Decoded()).events.append(event)
        found = [*parts.values()] or [Decoded()]
        found[0].skipped = self.decoded.skipped
        return found


def decode(payload: bytes, registry: Registry, *, counters: Collection[str] = ()) -> LogReport:
    """Read the body of a TALQ 2.7 `POST /log-reports`.

    Parameters
    ----------
    payload : bytes
        A LogReport object, or a list of them.
    registry : Registry
        Which devices exist; a device address is a device id.
    counters : collection of str
        Source addresses (`device/function`) of traffic counters that count pedestrians; what other
        traffic counters count is left out.

    Returns
    -------
    LogReport
        Times are 0 where an entry gives none.

    Raises
    ------
    MalformedPayloadError
        If the whole is no log report.
    RefusedContentError
        If it holds an identifier of a person.
    """
    try:
        content = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedPayloadError(str(error)) from error
    reports: list[Any] = content if isinstance(content, list) else [content]
    entries: list[Any] = []
    for report in reports:
        if not isinstance(report, dict) or not isinstance(report.get("entries", []), list):
            raise MalformedPayloadError("the body is not a LogReport", reason=Reason.SHAPE)
        entries += report.get("entries", [])
    if len(entries) > _MAX_ENTRIES:
        raise MalformedPayloadError(
            f"{len(entries)} entries are more than {_MAX_ENTRIES}", reason=Reason.TOO_LARGE
        )
    result = LogReport(Decoded(), [])
    columns: dict[tuple[str, str], Series] = {}
    for index, entry in enumerate(entries):
        try:
            _entry(entry, registry, counters, result.decoded, columns)
        except MalformedPayloadError as error:
            result.problems.append(EntryProblem(index, error.reason, error.detail))
    return result


def _entry(
    entry: object,
    registry: Registry,
    counters: Collection[str],
    decoded: Decoded,
    columns: dict[tuple[str, str], Series],
) -> None:
    data = entry.get("data") if isinstance(entry, dict) else None
    if not isinstance(data, dict) or data.get("type") not in _ENTRY_TYPES:
        raise MalformedPayloadError("the entry has no data of a known type", reason=Reason.SHAPE)
    if data.get("attributeName") != "physicalAddress":  # the device's own, and not kept
        refuse_personal(data)
    address = data.get("srcAddress")
    if not isinstance(address, str):
        raise MalformedPayloadError("srcAddress is missing", reason=Reason.IDENTITY)
    device = _device(address, registry)
    if data["type"] == "AttributeLogData":
        _attribute(data, device, address, counters, decoded, columns)
    else:
        _event(data, device, decoded)


def _device(address: str, registry: Registry) -> str:
    device = address.split("/", 1)[0]
    if not _ID.fullmatch(device):
        raise MalformedPayloadError(
            f"address {address[:80]!r} is not a device id", reason=Reason.IDENTITY
        )
    if registry.get(device) is None and not registry.enrol:
        raise MalformedPayloadError(
            f"device {device} is not in the registry", reason=Reason.UNKNOWN_DEVICE
        )
    return device


def _event(data: dict[str, Any], device: str, decoded: Decoded) -> None:
    name = data.get("eventType")
    event = canonical_event(name) if isinstance(name, str) else None
    if event is None:
        if data["type"] == "StateChangeEventLogData":
            decoded.skipped += 1  # a change of light, not a fault
            return
        raise MalformedPayloadError(
            f"event type {str(name)[:80]!r} is not in TALQ 2.7", reason=Reason.SHAPE
        )
    info = data.get("info") or ""
    if not isinstance(info, str):
        raise MalformedPayloadError("info is not text", reason=Reason.TYPE)
    active = _flag(data.get("startEndFlag"))
    decoded.events.append(Event(device, _time_ms(data), event, active, clean_text(info)))


def _flag(value: object) -> bool | None:
    """`startEndFlag`: absent has no period, although the schema's default is the text "false"."""
    if value is None or isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise MalformedPayloadError("startEndFlag is neither true nor false", reason=Reason.TYPE)


def _attribute(
    data: dict[str, Any],
    device: str,
    address: str,
    counters: Collection[str],
    decoded: Decoded,
    columns: dict[tuple[str, str], Series],
) -> None:
    name = data.get("attributeName")
    quantity = _ATTRIBUTES.get(str(name))
    if quantity is None and address in counters:
        quantity = _COUNTERS.get(str(name))
    if quantity is None:
        decoded.skipped += 1
        return
    value = _number(data.get("attributeValue"), str(name))
    if value is None:
        decoded.skipped += 1
        return
    spec = QUANTITIES[quantity]
    if value not in spec.sentinels and not spec.lowest <= value <= spec.highest:
        raise MalformedPayloadError(f"{quantity} of {value:g} is impossible", reason=Reason.RANGE)
    series = columns.get((device, quantity))
    if series is None:
        series = columns[device, quantity] = Series(device, quantity, [], [])
        decoded.series.append(series)
    series.time_ms.append(_time_ms(data))
    series.value.append(value)


def _number(value: object, name: str) -> float | None:
    """The number in an attribute value, however deep TALQ wraps it; None says "not known"."""
    for _ in range(4):
        if not isinstance(value, dict):
            break
        value = value.get("value")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedPayloadError(f"{name} is not a number", reason=Reason.TYPE)
    return float(value)


def _time_ms(data: dict[str, Any]) -> int:
    """When it was so, from the entry or its value; 0 if neither says."""
    text = data.get("timestamp")
    if text is None and isinstance(value := data.get("attributeValue"), dict):
        text = value.get("timestamp")
    if text is None:
        return 0
    if not isinstance(text, str):
        raise MalformedPayloadError("timestamp is not text", reason=Reason.TIME)
    try:
        time_ms = parse_rfc3339(text)
    except ValueError as error:
        raise MalformedPayloadError(str(error), reason=Reason.TIME) from error
    if time_ms >= EPOCH_2262_MS:
        raise MalformedPayloadError(f"time {text} cannot be kept", reason=Reason.TIME)
    return time_ms

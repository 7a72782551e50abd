"""What a device told us: readings, fault reports, and what one message held of them."""

from dataclasses import dataclass
from enum import IntFlag, StrEnum

import msgspec

__all__ = [
    "QUANTITIES",
    "Decoded",
    "Event",
    "Flag",
    "Frame",
    "Quantity",
    "QuantitySpec",
    "Sequence",
    "Series",
]


class Quantity(StrEnum):
    """What was observed. The value is the name on the wire, in every store and in every file."""

    # Enum hashes in Python; a quantity is looked up for every series that passes.
    __hash__ = str.__hash__

    ILLUMINANCE = "illuminance_lx"
    POWER = "power_w"
    LAMP_STATUS = "lamp_status"
    DIMMING = "dimming_pct"
    PEOPLE_COUNT = "people_count"
    PEOPLE_IN = "people_in"
    PEOPLE_OUT = "people_out"
    PEOPLE_PRESENT = "people_present"
    PEOPLE_COUNT_TOTAL = "people_count_total"
    PEOPLE_IN_TOTAL = "people_in_total"
    PEOPLE_OUT_TOTAL = "people_out_total"
    ENERGY = "energy_kwh"
    BATTERY_VOLTAGE = "battery_v"
    BATTERY_LEVEL = "battery_pct"
    TEMPERATURE = "temperature_c"
    HUMIDITY = "humidity_pct"
    MOTION = "motion_count"


@dataclass(frozen=True, slots=True)
class QuantitySpec:
    """What a value of a quantity may be, and how it is kept.

    Attributes
    ----------
    unit : str
        As shown to people; empty for counts and bit fields.
    archive_type : str
        numpy dtype in the archive, fixed for ever: "float32", "float64" or "int64".
    lowest, highest : float
        Inclusive; outside is impossible and goes to quarantine as `range`.
    sentinels : frozenset of float
        Values that say "not known": skipped and counted, never stored.
    suspect_above : float
        Possible but unlikely: stored with `Flag.SUSPECT`.
    """

    unit: str
    archive_type: str
    lowest: float
    highest: float
    sentinels: frozenset[float] = frozenset()
    suspect_above: float = float("inf")


QUANTITIES: dict[Quantity, QuantitySpec] = {
    # -1 and 65535 lx are the "not known" of common light sensors; a device whose registry entry
    # says max_illuminance_lx = 65535 means it.
    Quantity.ILLUMINANCE: QuantitySpec(
        "lx", "float32", 0, 200_000, frozenset({-1.0, 65535.0}), 130_000
    ),
    Quantity.POWER: QuantitySpec("W", "float32", 0, 5_000, frozenset(), 2_000),
    Quantity.LAMP_STATUS: QuantitySpec("", "float32", 0, 65_535),
    Quantity.DIMMING: QuantitySpec("%", "float32", 0, 100),
    Quantity.PEOPLE_COUNT: QuantitySpec("", "float32", 0, 1_000_000, frozenset(), 20_000),
    Quantity.PEOPLE_IN: QuantitySpec("", "float32", 0, 1_000_000, frozenset(), 20_000),
    Quantity.PEOPLE_OUT: QuantitySpec("", "float32", 0, 1_000_000, frozenset(), 20_000),
    # How many are there now; not passages, and never added up.
    Quantity.PEOPLE_PRESENT: QuantitySpec("", "float32", 0, 100_000, frozenset(), 5_000),
    # What a counter has counted since it was made or reset. Counts per interval are made from these
    # where they are read, so that redelivery and disorder change nothing.
    Quantity.PEOPLE_COUNT_TOTAL: QuantitySpec("", "float64", 0, 2**53),
    Quantity.PEOPLE_IN_TOTAL: QuantitySpec("", "float64", 0, 2**53),
    Quantity.PEOPLE_OUT_TOTAL: QuantitySpec("", "float64", 0, 2**53),
    Quantity.ENERGY: QuantitySpec("kWh", "float64", 0, 1e9),
    Quantity.BATTERY_VOLTAGE: QuantitySpec("V", "float32", 0, 100),
    Quantity.BATTERY_LEVEL: QuantitySpec("%", "float32", 0, 100),
    Quantity.TEMPERATURE: QuantitySpec("°C", "float32", -90, 150),
    Quantity.HUMIDITY: QuantitySpec("%", "float32", 0, 100),
    Quantity.MOTION: QuantitySpec("", "float32", 0, 1_000_000),
}


class Flag(IntFlag):
    """What was noticed about a reading; kept beside its value for ever."""

    NONE = 0
    LATE = 1  # older than 24 h when it came: a replayed ring buffer is legitimate
    CLOCK = 2  # more than 5 min ahead, or from a device whose clock runs wrong
    SUSPECT = 4  # possible, but unlikely for its quantity
    TIME_REPLACED = 8  # the device's time was before 2020; network or receive time stands instead
    SIMULATED = 16  # from a simulated device: can never open a real work order
    QOS0 = 32  # came at QoS 0: what was lost before it cannot be promised
    WITHDRAWN = 64  # no reading: takes back the one at this time, which stands at another now


class Series(msgspec.Struct, gc=False):
    """Readings of one quantity by one device in one message, as two equally long columns.

    Attributes
    ----------
    device_id : str
    quantity : Quantity
    time_ms : list of int
        0 = the message gave no time; `plausibility.judge` puts one in.
    value : list of float
    flags : int or list of int
        `Flag` bits after judgement: one for all rows, or one a row.
    """

    device_id: str
    quantity: Quantity
    time_ms: list[int]
    value: list[float]
    flags: int | list[int] = 0


class Event(msgspec.Struct, frozen=True, gc=False):
    """A fault report by a device.

    Attributes
    ----------
    event : str
        TALQ 2.7 event name in snake case (`lamp_failure`, `cabinet_door_open`, ...).
    active : bool or None
        True starts, False ends, None has no period (a restart, say) and ends nothing.
    info : str
        What the device adds, in NFC without control characters.
    flags : int
        `Flag` bits after judgement.
    """

    device_id: str
    time_ms: int
    event: str
    active: bool | None = None
    info: str = ""
    flags: int = 0


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A LoRaWAN frame: the same device, counter and bytes within an hour is the same frame."""

    device_id: str
    frame_counter: int
    payload: bytes


class Sequence(msgspec.Struct, frozen=True, gc=False):
    """Where a native message stands in its device's numbering: rows `first .. first+count-1`."""

    device_id: str
    boot: int
    first: int
    count: int


class Decoded(msgspec.Struct, gc=False):
    """What one message held.

    Attributes
    ----------
    series : list of Series
    events : list of Event
    skipped : int
        Values that said "not known" (null, sentinels): no readings, counted apart.
    network_ms : int or None
        When the network server received it [ms, UTC]; stands in for a device time that is missing
        or before 2020.
    frame : Frame or None
        For LoRaWAN uplinks.
    sequence : Sequence or None
        For native messages.
    simulated : bool
        Whether the envelope says that no real device stands behind it.
    """

    series: list[Series] = []
    events: list[Event] = []
    skipped: int = 0
    network_ms: int | None = None
    frame: Frame | None = None
    sequence: Sequence | None = None
    simulated: bool = False

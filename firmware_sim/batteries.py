"""What a native device says of its battery: a slow fall over the years, a steep one at the end."""

import numpy as np
from numpy.typing import NDArray

from firmware_sim.city import Feeder
from firmware_sim.faults import Fault
from firmware_sim.scenario import Scenario
from firmware_sim.sky import DAY_MS
from firmware_sim.streams import uniform

__all__ = ["EMPTYING_DAYS", "battery_volts"]

Floats = NDArray[np.float64]
FRESH_V, EMPTY_V = 3.6, 2.4  # a lithium cell; below it the radio no longer starts
FALL_V_A_DAY = 0.06 / 365.25
OLDEST_DAYS = 8 * 365.25
EMPTYING_DAYS = 4


def battery_volts(
    scenario: Scenario, feeder: Feeder, faults: list[Fault], time_ms: Floats
) -> Floats:
    """Voltage of each device's battery, in hundredths.

    A device that falls silent alone had an empty battery: it sinks over the last days, and when
    it is heard again the battery is new.

    Parameters
    ----------
    faults : list of Fault
        All of the feeder, those that ended too.
    time_ms : float64 (lamps, samples)

    Returns
    -------
    float64 (lamps, samples)
        In [V].
    """
    age = np.array([uniform(scenario.seed, "battery", d) for d in feeder.device_ids]) * OLDEST_DAYS
    days = age[:, None] + (time_ms - scenario.start_ms) / DAY_MS
    charge = np.ones(time_ms.shape)
    for fault in sorted(faults, key=lambda fault: fault.start_ms):
        if fault.effect != "communication_failure" or len(fault.lamps) != 1:
            continue
        (lamp,) = fault.lamps
        left = (fault.start_ms - time_ms[lamp]) / (EMPTYING_DAYS * DAY_MS)
        since = time_ms[lamp] - fault.end_ms
        days[lamp] = np.where(since >= 0, since / DAY_MS, days[lamp])
        charge[lamp] = np.where(since >= 0, 1.0, np.minimum(charge[lamp], np.clip(left, 0, 1)))
    volts = FRESH_V - FALL_V_A_DAY * np.maximum(days, 0)
    return np.round(EMPTY_V + (volts - EMPTY_V) * np.sqrt(charge), 2)

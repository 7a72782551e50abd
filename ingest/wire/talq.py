"""TALQ 2.7 log reports: what a gateway of luminaires tells us."""

import re
from typing import Final

__all__ = ["EVENTS", "snake_case"]

# TALQ data model 2.7.1, by function; the names as TALQ spells them.
_NAMES: Final = """
absoluteLampPowerTooHigh absoluteLampPowerTooLow absolutLampPowerTooHigh absolutLampPowerTooLow
dimmingFailure powerFactorTooLow lampFailure invalidLampType highTemperature relayFailure
lampPowerTooHigh lampPowerTooLow controlGearCommFailure controlGearComFailure cyclingFailure
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


def snake_case(name: str) -> str:
    """TALQ's `lampFailure` as `lamp_failure`."""
    return _HUMP.sub("_", name).lower()


EVENTS: Final = frozenset(snake_case(name) for name in _NAMES)
"""Every event name a device may report, in snake case."""

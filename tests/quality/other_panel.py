"""Feeds of the second city on which detectors are compared: `other_panel.py OUT [NAME...]`.

`PANEL` was looked at while detectors were mended; `FRESH` was only scored.
"""

import sys
from pathlib import Path

from quality.other_city import Plan
from quality.other_feed import write

SNOW = ((9, 6, 3), (24, 12, 6))
PANEL = [
    Plan("gbg_oct", 1, "2026-09-25", 50, trees=0.5),
    Plan(
        "malmo_dec", 2, "2026-11-20", 50, 260, 55.6, 13.0,
        intervals=(15,), festive=True, cloudiness=0.8, snow=((30, 5, 2.0),),
    ),
    Plan("sthlm_june", 3, "2026-05-25", 45, 280, 59.3, 18.1, cloudiness=0.4),
    Plan("oslo_jan", 4, "2027-01-03", 45, 260, 59.9, 10.7, "Europe/Oslo", snow=SNOW),
    Plan("hourly", 5, "2026-08-20", 55, 240, 56.2, 15.6, intervals=(60,), watts=0.2),
    Plan(
        "five_noisy", 6, "2026-10-10", 45, 240, 58.4, 15.6,
        intervals=(5,), registry="noisy", declared=0.7, loss=0.04, trees=0.4,
    ),
    Plan(
        "no_feeder", 7, "2027-02-25", 50, 260, 57.1, 12.2,
        registry="no_feeder", intervals=(5, 15),
    ),
    Plan(
        "no_segment", 8, "2026-09-01", 45, 260, 55.7, 12.6, "Europe/Copenhagen",
        registry="no_segment",
    ),
    Plan("bare", 9, "2026-10-01", 45, 240, 60.0, 20.0, "Europe/Helsinki", registry="bare"),
    Plan(
        "steps_1lx", 10, "2026-09-10", 50, 260, 56.0, 14.2,
        resolution=(1.0,), ceilings=(1000.0, 2000.0, 54612.0), intervals=(10, 15),
    ),
    Plan(
        "log_change", 11, "2026-08-10", 50, 240, 57.8, 14.2,
        resolution=(-0.04, -0.1), on_change=0.6, intervals=(5, 10),
    ),
    Plan(
        "down_feeder", 12, "2026-11-05", 50, 260, 58.0, 11.8, facing=(0.15, 0.15, 0.7),
        switching=(0.2, 0.2, 0.1, 0.5), snow=((33, 8, 4.0),), festive=True,
    ),
]  # fmt: skip
FRESH = [
    Plan(
        "fresh_autumn", 101, "2026-10-25", 45, 250, 57.0, 13.5,
        intervals=(10, 15), trees=0.3, snow=((35, 6, 3.0),),
    ),
    Plan("fresh_spring", 102, "2027-03-10", 45, 250, 59.0, 15.2, registry="noisy", declared=0.8),
    Plan("fresh_july", 103, "2026-07-05", 45, 250, 55.9, 12.8, resolution=(0.5, 1.0)),
    Plan(
        "fresh_winter", 104, "2026-12-10", 45, 250, 58.7, 17.1, festive=True, snow=((20, 8, 5.0),),
        intervals=(5,), switching=(0.3, 0.3, 0.3, 0.1), registry="no_feeder",
    ),
]  # fmt: skip

if __name__ == "__main__":
    for plan in PANEL + FRESH:
        if plan.name in sys.argv[2:] or not sys.argv[2:]:
            write(plan, Path(sys.argv[1]) / plan.name)

"""Measure the detectors and the statistics, and write docs/quality.md."""

import argparse
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HEAD = """# Quality
Written by `make quality`; every number here was measured by the program as it stood then.
Lamp-fault quality is scored on simulation: no public set of outdoor lux with labelled lamp faults is known.
Footfall statistics are measured on public counts; where that data is absent, their part is left as it was.

- [Lighting: detectors on simulated feeds](quality-lighting.md)
- [Footfall: intervals and low-activity hours on real counts](quality-footfall.md)
"""


def main_of(name: str) -> Callable[[Path], Any]:
    """The `main(out)` of a tool beside this one."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    main: Callable[[Path], Any] = module.main
    return main


def run() -> None:
    """Measure what was asked for, both parts by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["lighting", "footfall"])
    only = parser.parse_args().only
    parts = [only] if only else ["lighting", "footfall"]
    for part in parts:
        out = ROOT / "docs" / f"quality-{part}.md"
        main_of(f"quality_{part}")(out)
        sys.stdout.write(f"{out} written\n")
    (ROOT / "docs" / "quality.md").write_text(HEAD, encoding="utf-8")


if __name__ == "__main__":
    run()

"""The registry ingest works from, written from the assets."""

import re
from collections.abc import Iterable
from pathlib import Path

from api.assets import Asset
from ingest.devices import DeviceEntry, Registry

__all__ = ["write_registry"]

DEVICE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def write_registry(assets: Iterable[Asset], path: Path) -> list[str]:
    """Write the snapshot of devices that exist; readers see the old one or the new one.

    What only the snapshot knows (DevEUI, codec, model, user, group, rules, enrolment) is kept.

    Parameters
    ----------
    assets : iterable of Asset
    path : Path

    Returns
    -------
    list of str
        Device ids that cannot talk to us, because no topic or store could hold such a name.
    """
    assets = list(assets)
    before = Registry.load(path) if path.exists() else Registry()
    entries: list[DeviceEntry] = []
    mute: list[str] = []
    for asset in sorted(assets, key=lambda a: a.device_id):
        if not DEVICE_ID.fullmatch(asset.device_id):
            mute.append(asset.device_id)
            continue
        old = before.get(asset.device_id) or DeviceEntry(asset.device_id)
        entries.append(
            DeviceEntry(
                asset.device_id,
                dev_eui=old.dev_eui,
                codec=old.codec,
                model=old.model,
                interval_s=asset.interval_s if asset.interval_s is not None else old.interval_s,
                max_illuminance_lx=(
                    asset.max_illuminance_lx
                    if asset.max_illuminance_lx is not None
                    else old.max_illuminance_lx
                ),
                username=old.username,
                group=old.group,
            )
        )
    entries += gateways(assets, {entry.device_id for entry in entries}, before)
    if path.exists() and tuple(entries) == before.devices:
        return mute
    Registry(entries, enrol=before.enrol, rules=before.rules, version=before.version + 1).save(path)
    return mute


def gateways(assets: Iterable[Asset], taken: set[str], before: Registry) -> list[DeviceEntry]:
    """Gateways may speak under their own names, which says that they work."""
    names = sorted({a.gateway for a in assets if DEVICE_ID.fullmatch(a.gateway)} - taken)
    return [before.get(name) or DeviceEntry(name) for name in names]

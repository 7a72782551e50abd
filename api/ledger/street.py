"""The part of the ledger that knows what stands in the street and what is planned there."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from api.assets import Asset, AssetKind
from api.errors import BadInputError, NotFoundError, StaleVersionError
from api.ledger import conversions as to_view
from api.ledger.base import Database, row_of
from api.ledger.models import (
    AssetRow,
    DeviceHistoryRow,
    FactRow,
    MaintenanceRow,
    PlannedWorkRow,
    StatusRow,
)
from api.ledger.views import Maintenance, PlannedWork
from api.operations.incidents import PlannedWindow
from api.operations.states import LuminaireState, LuminaireStatus

__all__ = [
    "REGISTRY",
    "STATES",
    "AssetChange",
    "AssetDiff",
    "DeviceHistory",
    "Street",
    "next_version",
    "version_of",
    "windows_of",
]

REGISTRY, STATES = "registry_version", "states_version"


@dataclass(frozen=True, slots=True)
class AssetChange:
    """An asset that is to change: each field with what it was and what it becomes."""

    device_id: str
    fields: tuple[tuple[str, object, object], ...]


@dataclass(frozen=True, slots=True)
class AssetDiff:
    """What putting these assets would change."""

    added: tuple[str, ...]
    changed: tuple[AssetChange, ...]
    removed: tuple[str, ...]
    same: int

    @property
    def empty(self) -> bool:
        """Whether nothing would change."""
        return not (self.added or self.changed or self.removed)


@dataclass(frozen=True, slots=True)
class DeviceHistory:
    """A device on a luminaire, `[from_ms, until_ms)`; None = until now."""

    device_id: str
    luminaire_id: str
    from_ms: int
    until_ms: int | None


class Street:
    """Assets, their history, planned work, maintenance, states."""

    _db: Database

    # -- assets ------------------------------------------------------------------------------

    def registry_version(self) -> int:
        """Rises by one whenever assets change."""
        with self._db.read() as session:
            return version_of(session, REGISTRY)

    def street_version(self) -> tuple[int, int]:
        """Another whenever assets or the states of luminaires change."""
        with self._db.read() as session:
            return version_of(session, REGISTRY), version_of(session, STATES)

    def assets(self, *, areas: Collection[str] | None = None) -> list[Asset]:
        """Every asset, by device id; with `areas`, only those there."""
        with self._db.read() as session:
            # Columns rather than entities, here and below: a city has 33,000 of them.
            columns: Any = select(*to_view.ASSET_COLUMNS).order_by(AssetRow.device_id)
            if areas is not None:
                columns = columns.where(AssetRow.area.in_(sorted(areas)))
            return [to_view.asset_of_columns(row) for row in session.execute(columns)]

    def asset(self, device_id: str) -> Asset:
        """One asset.

        Raises
        ------
        NotFoundError
        """
        with self._db.read() as session:
            row = session.get(AssetRow, device_id)
            if row is None:
                raise NotFoundError(f"no asset {device_id!r}.")
            return to_view.asset(row)

    def asset_diff(self, assets: Iterable[Asset], *, whole: bool = False) -> AssetDiff:
        """What `put_assets` would change; nothing is written.

        Parameters
        ----------
        assets : iterable of Asset
        whole : bool
            Whether these are all there are: those that are missing would be removed.
        """
        with self._db.read() as session:
            return difference(session, list(assets), whole=whole)

    def put_assets(
        self,
        assets: Iterable[Asset],
        *,
        now_ms: int,
        whole: bool = False,
        version: int | None = None,
    ) -> AssetDiff:
        """Write assets, keep which device sat where, and say what changed.

        Parameters
        ----------
        version : int, optional
            The registry's version the difference was shown for; None = whatever it is.

        Raises
        ------
        BadInputError
            If two assets have the same device.
        StaleVersionError
            If assets have changed since that version.
        """
        given = list(assets)
        with self._db.write() as session:
            self._db.lock(session, 7_203_301)
            now = version_of(session, REGISTRY)
            if version is not None and version != now:
                raise StaleVersionError("the list of assets", seen=version, now=now)
            found = difference(session, given, whole=whole)
            if found.empty:
                return found
            touched = {*found.added, *(change.device_id for change in found.changed)}
            write_assets(session, [a for a in given if a.device_id in touched], found, now_ms)
            next_version(session, REGISTRY)
            return found

    def set_segment_order(self, segment: str, luminaires: Sequence[str], *, now_ms: int) -> None:
        """Say by hand in which order the luminaires of a segment stand.

        Raises
        ------
        BadInputError
            If a luminaire is named twice.
        NotFoundError
            If one is not known.
        """
        if len(set(luminaires)) != len(luminaires):
            raise BadInputError("a luminaire is named twice.")
        by_luminaire = {a.luminaire_id: a for a in self.assets()}
        if missing := [name for name in luminaires if name not in by_luminaire]:
            raise NotFoundError(f"no luminaire {missing[0]!r}.")
        wanted = [
            replace(by_luminaire[name], segment=segment, segment_order=i)
            for i, name in enumerate(luminaires, 1)
        ]
        kept = set(luminaires)
        wanted += [
            replace(a, segment="", segment_order=None)
            for a in by_luminaire.values()
            if a.segment == segment and a.luminaire_id not in kept
        ]
        self.put_assets(wanted, now_ms=now_ms)

    def device_history(self, *, luminaire_id: str = "", device_id: str = "") -> list[DeviceHistory]:
        """Which devices sat on a luminaire, or where a device sat, oldest first."""
        with self._db.read() as session:
            query = select(DeviceHistoryRow).order_by(DeviceHistoryRow.from_ms, DeviceHistoryRow.id)
            if luminaire_id:
                query = query.where(DeviceHistoryRow.luminaire_id == luminaire_id)
            if device_id:
                query = query.where(DeviceHistoryRow.device_id == device_id)
            return [
                DeviceHistory(row.device_id, row.luminaire_id, row.from_ms, row.until_ms)
                for row in session.scalars(query)
            ]

    # -- states ------------------------------------------------------------------------------

    def luminaire_states(self) -> dict[str, LuminaireStatus]:
        """State of every asset that is not a counter; unknown where no round has judged it."""
        with self._db.read() as session:
            columns: Any = select(*to_view.STATUS_COLUMNS)
            found = {row[0]: to_view.status_of_columns(row) for row in session.execute(columns)}
            devices = session.scalars(
                select(AssetRow.device_id)
                .outerjoin(StatusRow, StatusRow.device_id == AssetRow.device_id)
                .where(AssetRow.kind != AssetKind.COUNTER.value, StatusRow.device_id.is_(None))
            )
            never = {
                device: LuminaireStatus(device, LuminaireState.UNKNOWN, 0, reason="never_judged")
                for device in devices
            }
        return found | never

    # -- planned work and maintenance --------------------------------------------------------

    def plan_work(
        self,
        *,
        cause_kind: str,
        cause_id: str,
        from_ms: int,
        until_ms: int,
        reason: str,
        owner: str,
    ) -> PlannedWork:
        """Open a window in which nothing is raised for what it covers.

        Parameters
        ----------
        cause_kind : str
            luminaire, segment, feeder, cabinet, gateway or site.

        Raises
        ------
        BadInputError
            If it covers nothing, or ends before it begins.
        """
        if cause_kind not in COVERS:
            raise BadInputError(f"planned work on a {cause_kind!r}; it can be {', '.join(COVERS)}.")
        if until_ms <= from_ms:
            raise BadInputError("planned work must end after it begins.")
        if not reason or not owner:
            raise BadInputError("planned work needs a reason and an owner.")
        with self._db.write() as session:
            row = PlannedWorkRow(
                cause_kind=cause_kind,
                cause_id=cause_id,
                from_ms=from_ms,
                until_ms=until_ms,
                reason=reason,
                owner=owner,
            )
            stands = {a.device_id: to_view.asset(a) for a in session.scalars(select(AssetRow))}
            if not windows_of([row], stands):
                raise BadInputError(f"no asset belongs to {cause_kind} {cause_id!r}.")
            session.add(row)
            session.flush()
            return to_view.planned(row)

    def end_work(self, number: int, *, now_ms: int) -> PlannedWork:
        """End a window before its time."""
        with self._db.write() as session:
            row = row_of(session, PlannedWorkRow, number)
            if row is None:
                raise NotFoundError(f"no planned work {number}.")
            row.until_ms = max(row.from_ms, min(row.until_ms, now_ms))
            return to_view.planned(row)

    def planned_work(self, *, until_after_ms: int = 0) -> list[PlannedWork]:
        """Windows that end after a moment, by their beginning."""
        with self._db.read() as session:
            rows = session.scalars(
                select(PlannedWorkRow)
                .where(PlannedWorkRow.until_ms > until_after_ms)
                .order_by(PlannedWorkRow.from_ms, PlannedWorkRow.id)
            )
            return [to_view.planned(row) for row in rows]

    def add_maintenance(self, entries: Iterable[Maintenance]) -> int:
        """Write the log; an entry it already has is not written again. How many were new."""
        with self._db.write() as session:
            known = {
                (row.device_id, row.time_ms, row.action)
                for row in session.execute(
                    select(MaintenanceRow.device_id, MaintenanceRow.time_ms, MaintenanceRow.action)
                )
            }
            new = 0
            for entry in entries:
                name = (entry.device_id, entry.time_ms, entry.action)
                if entry.action not in MAINTENANCE_ACTIONS:
                    raise BadInputError(
                        f"maintenance {entry.action!r} of {entry.device_id}:"
                        f" it can be {', '.join(MAINTENANCE_ACTIONS)}."
                    )
                if name in known:
                    continue
                known.add(name)
                session.add(
                    MaintenanceRow(
                        device_id=entry.device_id,
                        time_ms=entry.time_ms,
                        action=entry.action,
                        note=entry.note,
                        actor=entry.actor,
                    )
                )
                new += 1
            return new

    def maintenance(self, *, device_id: str = "", since_ms: int = 0) -> list[Maintenance]:
        """The log, by time."""
        with self._db.read() as session:
            query = (
                select(MaintenanceRow)
                .where(MaintenanceRow.time_ms >= since_ms)
                .order_by(MaintenanceRow.time_ms, MaintenanceRow.device_id)
            )
            if device_id:
                query = query.where(MaintenanceRow.device_id == device_id)
            return [
                Maintenance(row.device_id, row.time_ms, row.action, row.note, row.actor)
                for row in session.scalars(query)
            ]


COVERS = ("luminaire", "segment", "feeder", "cabinet", "gateway", "site")
MAINTENANCE_ACTIONS = (
    "sensor_swap",
    "lamp_swap",
    "cleaned",
    "repaired",
    "planned_on",
    "planned_off",
)


def windows_of(rows: Iterable[PlannedWorkRow], assets: Mapping[str, Asset]) -> list[PlannedWindow]:
    """The devices each window covers."""
    found: list[PlannedWindow] = []
    for row in rows:
        for asset in assets.values():
            if row.cause_kind == "luminaire":
                covered = row.cause_id in {asset.luminaire_id, asset.device_id}
            else:
                covered = getattr(asset, row.cause_kind) == row.cause_id
            if covered:
                found.append(PlannedWindow(asset.device_id, row.from_ms, row.until_ms))
    return found


def difference(session: Session, given: Sequence[Asset], *, whole: bool) -> AssetDiff:
    """What these assets would change."""
    wanted: dict[str, Asset] = {}
    for asset in given:
        if asset.device_id in wanted:
            raise BadInputError(f"device {asset.device_id!r} is given twice.")
        wanted[asset.device_id] = asset
    stored = {row.device_id: to_view.asset(row) for row in session.scalars(select(AssetRow))}
    changed: list[AssetChange] = []
    for device, asset in wanted.items():
        if (old := stored.get(device)) is not None and old != asset:
            pairs = tuple(
                (name, getattr(old, name), getattr(asset, name))
                for name in to_view.ASSET_FIELDS
                if getattr(old, name) != getattr(asset, name)
            )
            changed.append(AssetChange(device, pairs))
    added = tuple(sorted(wanted.keys() - stored.keys()))
    removed = tuple(sorted(stored.keys() - wanted.keys())) if whole else ()
    return AssetDiff(added, tuple(changed), removed, len(wanted) - len(added) - len(changed))


def write_assets(session: Session, assets: Sequence[Asset], found: AssetDiff, now_ms: int) -> None:
    """The assets that are new or changed, and where their devices sit from now on.

    In bulk: a city of 33,000 luminaires comes in at once.
    """
    added = set(found.added)
    values = [to_view.asset_values(asset) for asset in assets]
    if new := [v for v in values if v["device_id"] in added]:
        session.execute(insert(AssetRow), new)
    if old := [v for v in values if v["device_id"] not in added]:
        session.execute(update(AssetRow), old)
    moved = added | {
        c.device_id for c in found.changed for name, _, _ in c.fields if name == "luminaire_id"
    }
    ending = (moved - added) | set(found.removed)
    if ending:
        for row in session.scalars(
            select(DeviceHistoryRow).where(DeviceHistoryRow.until_ms.is_(None))
        ):
            if row.device_id in ending:
                if row.from_ms == now_ms:
                    session.delete(row)  # it sat there for no time at all
                else:
                    row.until_ms = now_ms
        session.flush()
    sits = [
        {"device_id": a.device_id, "luminaire_id": a.luminaire_id, "from_ms": now_ms}
        for a in assets
        if a.device_id in moved
    ]
    if sits:
        session.execute(insert(DeviceHistoryRow), sits)
    for i in range(0, len(found.removed), 500):
        session.execute(delete(AssetRow).where(AssetRow.device_id.in_(found.removed[i : i + 500])))


def version_of(session: Session, name: str) -> int:
    """How often what is named so has changed."""
    return int(session.scalar(select(FactRow.value).where(FactRow.name == name)) or 0)


def next_version(session: Session, name: str) -> None:
    """What is named so is another from now on."""
    row = session.get(FactRow, name)
    if row is None:
        session.add(FactRow(name=name, value="1"))
    else:
        row.value = str(int(row.value) + 1)

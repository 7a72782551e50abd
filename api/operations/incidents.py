"""Findings into incidents: what a round changes in what is already known; nothing when it agrees.

The key that groups findings is decided in `analytics.cause`; here it is only followed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from analytics.findings import CauseKind, FindingKind, Severity
from api.findings import NamedFinding
from api.operations.work_orders import crew_of

__all__ = [
    "Entry",
    "IncidentState",
    "Known",
    "KnownFinding",
    "Plan",
    "PlannedWindow",
    "Wanted",
    "What",
    "plan_round",
    "unplanned",
]


class IncidentState(StrEnum):
    """Where an incident stands; its work order has a life of its own."""

    OPEN = "open"
    CLEARED = "cleared"
    MERGED = "merged"
    WITHDRAWN = "withdrawn"


class What(StrEnum):
    """What can happen to an incident."""

    OPENED = "opened"
    CONFIRMED = "confirmed"
    CHANGED_KIND = "changed_kind"
    MEMBERS = "members"
    MERGED = "merged"
    ABSORBED = "absorbed"
    CLEARED = "cleared"
    REOPENED = "reopened"
    WITHDRAWN = "withdrawn"


SEVERITIES = (Severity.URGENT, Severity.MAJOR, Severity.MINOR)


@dataclass(frozen=True, slots=True)
class KnownFinding:
    """A finding the ledger already holds; `name` is (device, kind)."""

    device_id: str
    kind: FindingKind
    start_ms: int
    end_ms: int | None
    withdrawn: bool = False

    @property
    def open(self) -> bool:
        """Whether it still stands."""
        return self.end_ms is None and not self.withdrawn


@dataclass(frozen=True, slots=True)
class Known:
    """An incident the ledger already holds."""

    key: str
    state: IncidentState
    kind: FindingKind
    cause_kind: CauseKind
    cause_id: str
    confirmed: bool
    findings: Mapping[tuple[str, FindingKind], KnownFinding]
    merged_into: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A line for the incident's timeline."""

    what: What
    note: str = ""


@dataclass(slots=True)
class Wanted:
    """How an incident shall stand after the round."""

    key: str
    state: IncidentState
    findings: list[NamedFinding]
    entries: list[Entry] = field(default_factory=list[Entry])
    merged_into: str | None = None
    withdrawn: list[tuple[str, FindingKind]] = field(default_factory=list[tuple[str, FindingKind]])
    confirmed: bool = False
    kind: FindingKind = FindingKind.LAMP_FAILURE


@dataclass(frozen=True, slots=True)
class Plan:
    """What a round changes. `incidents` holds only those touched, in key order."""

    incidents: tuple[Wanted, ...]
    suppressed: int = 0


@dataclass(frozen=True, slots=True)
class PlannedWindow:
    """Planned work on one device, `[from_ms, until_ms)`."""

    device_id: str
    from_ms: int
    until_ms: int


def unplanned(
    findings: Iterable[NamedFinding], windows: Iterable[PlannedWindow], *, now_ms: int
) -> tuple[list[NamedFinding], int]:
    """Findings that are not the planned work itself, and how many were.

    Nothing that began inside a window is raised while it lasts, or if it ended with it; what is
    still there afterwards is raised: everything is checked after.
    """
    by_device: dict[str, list[PlannedWindow]] = {}
    for window in windows:
        by_device.setdefault(window.device_id, []).append(window)

    def planned(finding: NamedFinding) -> bool:
        return any(
            w.from_ms <= finding.start_ms < w.until_ms
            and (
                now_ms < w.until_ms or (finding.end_ms is not None and finding.end_ms <= w.until_ms)
            )
            for w in by_device.get(finding.device_id, ())
        )

    given = list(findings)
    kept = [finding for finding in given if not planned(finding)]
    return kept, len(given) - len(kept)


def plan_round(
    known: Mapping[str, Known],
    findings: Sequence[NamedFinding],
    *,
    settled: bool = False,
    complete_since_ms: int | None = None,
) -> Plan:
    """What a round changes.

    Parameters
    ----------
    known : mapping of incident key to Known
        Every incident that is open, and every one the findings name.
    findings : sequence of NamedFinding
        As judged now. One that is missing says nothing, unless `complete_since_ms` is given.
    settled : bool
        Whether this is the round that settles the night: it confirms what it repeats.
    complete_since_ms : int, optional
        The round judged everything that began since then [ms, UTC]: an open finding from that time
        which it does not repeat was taken back by later data, and is withdrawn.

    Returns
    -------
    Plan
        Without any entry for an incident about which nothing new is said.
    """
    # What stands speaks louder than what was taken back of the same name.
    ordered = sorted(findings, key=lambda f: not f.withdrawn)
    latest = {(f.incident, f.device_id, f.kind): f for f in ordered}
    by_key: dict[str, list[NamedFinding]] = {}
    for finding in latest.values():
        by_key.setdefault(finding.incident, []).append(finding)
    merged = merges(known, by_key)
    wanted: list[Wanted] = []
    for key in sorted(known.keys() | by_key.keys()):
        before = known.get(key)
        said = sorted(by_key.get(key, []), key=lambda f: (f.device_id, f.kind))
        if key in merged and before is not None:
            into = merged[key]
            note = f"part of {into}"
            wanted.append(
                Wanted(
                    key,
                    IncidentState.MERGED,
                    said,
                    [Entry(What.MERGED, note)],
                    into,
                    kind=before.kind,
                )
            )
            continue
        change = judge(key, before, said, complete_since_ms)
        if change is None:
            continue
        absorbed = sorted(old for old, into in merged.items() if into == key)
        change.entries += [Entry(What.ABSORBED, old) for old in absorbed]
        if settled and said and not change.confirmed and change.state is IncidentState.OPEN:
            change.confirmed = True
            change.entries.append(Entry(What.CONFIRMED))
        if change.entries or changed_findings(before, said):
            wanted.append(change)
    return Plan(tuple(wanted))


def merges(
    known: Mapping[str, Known], by_key: Mapping[str, Sequence[NamedFinding]]
) -> dict[str, str]:
    """Incidents that turn out to be part of another one: {key: key of the other}.

    An open incident of which the round says nothing is part of another when the round reports every
    one of its open luminaires, for the same crew, under other keys; the one with most of them.
    """
    elsewhere: dict[tuple[str, str], set[str]] = {}
    for key, said in by_key.items():
        for finding in said:
            if finding.end_ms is None:
                place = (finding.device_id, crew_of(finding.kind))
                elsewhere.setdefault(place, set()).add(key)
    found: dict[str, str] = {}
    for key, incident in known.items():
        if key in by_key or incident.state is not IncidentState.OPEN:
            continue
        crew = crew_of(incident.kind)
        devices = {f.device_id for f in incident.findings.values() if f.open}
        keys = [elsewhere.get((device, crew), set()) for device in devices]
        if keys and all(keys):
            counted = Counter(other for others in keys for other in others)
            found[key] = min(counted, key=lambda other: (-counted[other], other))
    return found


def judge(
    key: str, before: Known | None, said: list[NamedFinding], complete_since_ms: int | None
) -> Wanted | None:
    """How one incident stands after the round; None where the round says nothing about it."""
    merged = before is not None and before.state is IncidentState.MERGED
    # Merged stays merged until something stands under its own name again.
    if merged and not any(f.end_ms is None and not f.withdrawn for f in said):
        return None
    now_known = dict(before.findings) if before else {}
    names = {(f.device_id, f.kind) for f in said}

    def taken_back(old: KnownFinding) -> bool:
        """Not repeated by a round that judged it; or, after a merger, kept by the other since."""
        return merged or (complete_since_ms is not None and old.start_ms >= complete_since_ms)

    gone = [
        name
        for name, old in now_known.items()
        if old.open and name not in names and taken_back(old)
    ]
    if not said and not gone:
        return None
    if before is None and all(f.withdrawn for f in said):
        return None  # taken back before anybody was told
    for name in gone:
        now_known[name] = replace(now_known[name], withdrawn=True)
    for f in said:
        now_known[f.device_id, f.kind] = KnownFinding(
            f.device_id, f.kind, f.start_ms, f.end_ms, f.withdrawn
        )
    state = state_of(now_known.values())
    wanted = Wanted(key, state, said, withdrawn=gone, confirmed=bool(before and before.confirmed))
    wanted.kind = kind_of(now_known.values(), said, before)
    wanted.entries = list(entries_of(before, wanted, now_known))
    return wanted


def state_of(findings: Iterable[KnownFinding]) -> IncidentState:
    """An incident is open while any of its findings is."""
    standing = [f for f in findings if not f.withdrawn]
    if not standing:
        return IncidentState.WITHDRAWN
    return IncidentState.OPEN if any(f.open for f in standing) else IncidentState.CLEARED


def kind_of(
    findings: Iterable[KnownFinding], said: Sequence[NamedFinding], before: Known | None
) -> FindingKind:
    """The kind most luminaires have now; that of the most severe finding decides a tie."""
    counted = Counter(f.kind for f in findings if f.open)
    if not counted:
        return before.kind if before else (said[0].kind if said else FindingKind.LAMP_FAILURE)
    severity = {f.kind: SEVERITIES.index(f.severity) for f in reversed(said)}
    return min(counted, key=lambda kind: (-counted[kind], severity.get(kind, 9), kind))


def entries_of(
    before: Known | None, wanted: Wanted, findings: Mapping[tuple[str, FindingKind], KnownFinding]
) -> Iterable[Entry]:
    """What the timeline is told."""
    members = {f.device_id for f in findings.values() if f.open}
    if before is None:
        yield Entry(What.OPENED, f"{len({f.device_id for f in wanted.findings})} luminaires")
        if wanted.state is IncidentState.CLEARED:
            yield Entry(What.CLEARED, "over before it was first reported")
        return
    was = {f.device_id for f in before.findings.values() if f.open}
    if before.state is not wanted.state:
        if wanted.state is IncidentState.OPEN:
            yield Entry(What.REOPENED, f"from {before.state}")
        elif wanted.state is IncidentState.CLEARED:
            yield Entry(What.CLEARED)
        else:
            yield Entry(What.WITHDRAWN, "later data showed otherwise")
    elif wanted.state is IncidentState.OPEN and members != was:
        came, went = sorted(members - was), sorted(was - members)
        words = [
            f"+{', '.join(came[:5])}" if came else "",
            f"-{', '.join(went[:5])}" if went else "",
        ]
        yield Entry(What.MEMBERS, f"{len(members)} now " + " ".join(w for w in words if w))
    if before.kind is not wanted.kind and wanted.state is IncidentState.OPEN:
        yield Entry(What.CHANGED_KIND, f"{before.kind} -> {wanted.kind}")


def changed_findings(before: Known | None, said: Sequence[NamedFinding]) -> bool:
    """Whether any finding begins or ends at another time than was known."""
    if before is None:
        return bool(said)
    for f in said:
        old = before.findings.get((f.device_id, f.kind))
        now = (f.start_ms, f.end_ms, f.withdrawn)
        if old is None or (old.start_ms, old.end_ms, old.withdrawn) != now:
            return True
    return False

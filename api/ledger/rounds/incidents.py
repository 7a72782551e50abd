"""Incidents of a round: read, written, told in their timeline."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import select

from analytics.findings import CauseKind, FindingKind, Severity
from api.ledger import conversions as to_view
from api.ledger import outbox
from api.ledger.models import (
    EvidenceRow,
    IncidentRow,
    TimelineRow,
)
from api.ledger.rounds.work import CHUNK, Work, most_common
from api.operations.incidents import (
    SEVERITIES,
    IncidentState,
    Known,
    KnownFinding,
    Wanted,
    What,
)

__all__ = ["known", "link_merged", "write_incident"]


def known(work: Work, keys: Collection[str]) -> dict[str, Known]:
    """Every open incident, and those the findings name."""
    found = list(
        work.session.scalars(
            select(IncidentRow).where(IncidentRow.state == IncidentState.OPEN.value)
        )
    )
    have = {row.key for row in found}
    missing = sorted(set(keys) - have)
    for i in range(0, len(missing), CHUNK):
        part = missing[i : i + CHUNK]
        found += work.session.scalars(select(IncidentRow).where(IncidentRow.key.in_(part)))
    work.rows = {row.key: row for row in found}
    evidence: dict[int, dict[tuple[str, FindingKind], KnownFinding]] = defaultdict(dict)
    for row in stored_evidence(work, [row.id for row in found]):
        work.evidence[row.incident_id][row.device_id, row.kind] = row
        kind = FindingKind(row.kind)
        evidence[row.incident_id][row.device_id, kind] = KnownFinding(
            row.device_id, kind, row.start_ms, row.end_ms, row.withdrawn
        )
    return {
        row.key: Known(
            row.key,
            IncidentState(row.state),
            FindingKind(row.kind),
            CauseKind(row.cause_kind),
            row.cause_id,
            row.confirmed,
            evidence[row.id],
        )
        for row in found
    }


def write_incident(work: Work, wanted: Wanted) -> None:
    """An incident as it is wanted, with what stands behind it, and told in its timeline."""
    row = work.rows.get(wanted.key)
    if row is None:
        row = new_incident(work, wanted)
    write_evidence(work, row, wanted)
    standing = [e for e in work.evidence[row.id].values() if not e.withdrawn]
    opened = [e for e in standing if e.end_ms is None]
    row.state, row.kind, row.confirmed = wanted.state.value, wanted.kind.value, wanted.confirmed
    row.members = len({e.device_id for e in opened or standing})
    row.updated_ms = work.now_ms
    if standing:
        row.start_ms = min(e.start_ms for e in standing)
        ends = [e.end_ms for e in standing if e.end_ms is not None]
        row.end_ms = max(ends) if wanted.state is IncidentState.CLEARED and ends else None
        most = [Severity(e.severity) for e in opened or standing]
        row.severity = min(most, key=SEVERITIES.index).value
        row.confidence = max(e.confidence for e in opened or standing)
    if wanted.findings:
        last = wanted.findings[0]
        row.cause_kind, row.cause_id = last.cause_kind.value, last.cause_id
        row.note = last.note
    if wanted.state is not IncidentState.MERGED:
        row.merged_into = None
    tell(work, row, wanted)


def new_incident(work: Work, wanted: Wanted) -> IncidentRow:
    first = wanted.findings[0]
    stands = [work.assets[f.device_id] for f in wanted.findings if f.device_id in work.assets]
    row = IncidentRow(
        key=wanted.key,
        state=wanted.state.value,
        kind=wanted.kind.value,
        cause_kind=first.cause_kind.value,
        cause_id=first.cause_id,
        severity=first.severity.value,
        confidence=first.confidence,
        start_ms=first.start_ms,
        end_ms=None,
        raised_ms=min(f.raised_ms for f in wanted.findings),
        updated_ms=work.now_ms,
        members=0,
        simulated=any(f.simulated for f in wanted.findings),
        confirmed=False,
        area=most_common(a.area for a in stands),
        site=most_common(a.site for a in stands),
        note=first.note,
    )
    work.session.add(row)
    work.session.flush()
    work.rows[wanted.key] = row
    return row


def write_evidence(work: Work, row: IncidentRow, wanted: Wanted) -> None:
    stored = work.evidence[row.id]
    for device, kind in wanted.withdrawn:
        stored[device, kind.value].withdrawn = True
    for finding in wanted.findings:
        values = to_view.evidence_values(finding)
        if (e := stored.get((finding.device_id, finding.kind.value))) is None:
            e = EvidenceRow(incident_id=row.id, withdrawn=finding.withdrawn, **values)
            work.session.add(e)
            stored[e.device_id, e.kind] = e
            continue
        e.withdrawn = finding.withdrawn
        raised = min(e.raised_ms, finding.raised_ms)
        for name, value in values.items():
            setattr(e, name, value)
        e.raised_ms = raised  # the round that first reported it stays


def tell(work: Work, row: IncidentRow, wanted: Wanted) -> None:
    """Timeline and result."""
    into = {
        What.OPENED: work.changes.opened,
        What.MERGED: work.changes.merged,
        What.CLEARED: work.changes.cleared,
        What.REOPENED: work.changes.reopened,
        What.WITHDRAWN: work.changes.withdrawn,
    }
    changed = True
    for entry in wanted.entries:
        work.session.add(
            TimelineRow(
                incident_id=row.id,
                at_ms=work.now_ms,
                what=entry.what.value,
                note=entry.note,
            )
        )
        if (kept := into.get(entry.what)) is not None:
            kept.append(row.key)
            changed = False
    if changed:
        work.changes.changed.append(row.key)
    outbox.stream(
        work.session,
        at_ms=work.now_ms,
        kind="incident",
        subject=str(row.id),
        area=row.area,
        content={"state": row.state, "kind": row.kind, "members": row.members},
    )


def link_merged(work: Work, wanted: Wanted) -> None:
    """Where a merged incident went; both have their rows by now."""
    if wanted.merged_into is not None:
        work.rows[wanted.key].merged_into = work.rows[wanted.merged_into].id


def stored_evidence(work: Work, incident_ids: Sequence[int]) -> Iterable[EvidenceRow]:
    for i in range(0, len(incident_ids), CHUNK):
        part = incident_ids[i : i + CHUNK]
        yield from work.session.scalars(
            select(EvidenceRow).where(EvidenceRow.incident_id.in_(part))
        )

"""Findings that were reported: once out, an order stays known, also when it proves wrong.

What the rounds judge may change with late data; a crew that was sent was sent. So each judged
episode is matched with what was reported before, keeps its incident and the round that first
reported it, and what is no longer judged so gets an end.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analytics.confidence import confidence_of
from analytics.findings import CauseKind, FindingKind, Severity
from analytics.grid import Bools
from analytics.memory import Episode
from api.findings import NamedFinding
from api.street.street_plan import StreetPlan
from api.watch.explain import explain

__all__ = ["HISTORY_AFTER_MS", "Published", "SectionNews"]

SAME_MATTER_MS = 48 * 3_600_000
SETTLED_AFTER_MS = 26 * 3_600_000
# Ended longer ago than late data comes: told, kept by the ledger, and no round's matter any more.
HISTORY_AFTER_MS = 62 * 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class SectionNews:
    """What a light round saw: luminaires that went together, and what they suffer from.

    `back` says whether they had their supply earlier in this night: what began some days ago is
    another matter then.
    """

    kind: FindingKind
    rows: Sequence[int]
    cause_kind: CauseKind
    cause: int
    start_ms: int
    incident: str
    evidence: Mapping[str, float] = field(default_factory=dict)
    back: bool = False


@dataclass(slots=True)
class Row:
    """One reported finding."""

    kind: FindingKind
    row: int
    device_id: str
    luminaire_id: str
    incident: str
    cause_kind: CauseKind
    cause_id: str
    start_ms: int
    end_ms: int | None
    raised_ms: int
    confidence: float
    note: str
    evidence: dict[str, float]
    settled: bool = True
    withdrawn: bool = False
    simulated: bool = False


class Published:
    """The list of reported findings.

    Parameters
    ----------
    rows : sequence of mappings
        As `rows()` gave them before.
    plan : StreetPlan
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], plan: StreetPlan) -> None:
        self.plan = plan
        self.simulated: set[str] = set()  # device ids, told by whoever reads the readings
        self._rows: list[Row] = []
        for kept in rows:
            values = dict(kept)
            values["row"] = plan.row_of.get(values["device_id"], -1)
            values["kind"] = FindingKind(values["kind"])
            values["cause_kind"] = CauseKind(values["cause_kind"])
            self._rows.append(Row(**values))

    def rows(self) -> list[dict[str, Any]]:
        """As JSON can hold them."""
        return [
            {name: getattr(r, name) for name in Row.__slots__ if name != "row"}
            | {"kind": r.kind.value, "cause_kind": r.cause_kind.value}
            for r in self._rows
        ]

    def reconcile(
        self, episodes: Iterable[Episode], now_ms: int, *, history_before_ms: int = 0
    ) -> None:
        """Bring the list up to what is judged now.

        Parameters
        ----------
        episodes : iterable of Episode
        now_ms : int
        history_before_ms : int
            What ended before and is not in the list was told, and has left it: it is not told
            again.
        """
        by_matter: dict[tuple[int, FindingKind], list[Row]] = {}
        for known in self._rows:
            by_matter.setdefault((known.row, known.kind), []).append(known)
        renamed: dict[str, str] = {}
        matched: set[int] = set()
        fresh: list[Episode] = []
        for e in sorted(episodes, key=lambda e: (e.raised_ms, e.start_ms, e.row)):
            match = next(
                (
                    r
                    for r in by_matter.get((e.row, e.kind), [])
                    if id(r) not in matched and same_matter(r, e)
                ),
                None,
            )
            if match is None:
                if e.end_ms is None or e.end_ms >= history_before_ms:
                    fresh.append(e)
                continue
            matched.add(id(match))
            renamed.setdefault(e.incident, match.incident)
            self._update(match, e)
        for e in fresh:
            out = self._order_out(e, by_matter)
            if out and e.incident not in renamed:
                renamed[e.incident] = out
            self._rows.append(self._new(e, renamed, now_ms))
            matched.add(id(self._rows[-1]))
        for row in self._rows:
            # What a light round saw by day has its first settled night only a noon later.
            waits = not row.settled and now_ms - row.raised_ms < SETTLED_AFTER_MS
            if row.end_ms is None and id(row) not in matched and not waits:
                row.end_ms = max(now_ms, row.start_ms + 1)
                row.withdrawn = True
                row.note = f"{row.note} Withdrawn: what came in later does not bear it out.".strip()

    def retire(self, before_ms: int) -> list[NamedFinding]:
        """Take what ended before a moment out of the list; what was taken."""
        old = [r for r in self._rows if r.end_ms is not None and r.end_ms < before_ms]
        if not old:
            return []
        gone = set(map(id, old))
        self._rows = [r for r in self._rows if id(r) not in gone]
        return self._named(old)

    def _order_out(self, e: Episode, by_matter: Mapping[tuple[int, FindingKind], list[Row]]) -> str:
        """Incident of an order that a light round sent out for the same luminaire, if it stands."""
        rows = [
            r
            for kind in (FindingKind.SUPPLY_LOSS, FindingKind.LAMP_FAILURE)
            for r in by_matter.get((e.row, kind), [])
            if not r.settled and abs(r.start_ms - e.start_ms) <= SAME_MATTER_MS
        ]
        return rows[0].incident if rows else ""

    def add_sections(self, found: Iterable[SectionNews], now_ms: int) -> bool:
        """Report what a light round saw, unless it is out already; whether anything was new."""
        before = len(self._rows)
        open_rows: dict[int, list[Row]] = {}
        for row in self._rows:
            if row.end_ms is None:
                open_rows.setdefault(row.row, []).append(row)
        for news in found:
            out = [
                r
                for m in news.rows
                for r in open_rows.get(m, [])
                # A loss of supply that is open still is the same one, however old it is.
                if (r.kind is news.kind and not news.back)
                or r.start_ms >= news.start_ms - SAME_MATTER_MS
            ]
            same = [r for r in out if r.kind is news.kind]
            incident = (
                min(same or out, key=lambda r: r.raised_ms).incident if out else news.incident
            )
            have = {r.row for r in same}
            for m in news.rows:
                if m in have:
                    continue
                e = Episode(
                    m,
                    news.kind,
                    news.start_ms,
                    now_ms,
                    incident,
                    news.cause_kind,
                    news.cause,
                    confidence=confidence_of(news.kind, news.cause_kind, news.evidence),
                    evidence=dict(news.evidence),
                )
                self._rows.append(self._new(e, {}, now_ms))
                self._rows[-1].settled = False
        return len(self._rows) > before

    def taken_back(self, since_ms: int, n: int) -> Bools:
        """Luminaires of which a loss of supply was told since then and taken back: bool (n,)."""
        out = np.zeros(n, dtype=bool)
        out[[
            r.row
            for r in self._rows
            if r.withdrawn and r.kind is FindingKind.SUPPLY_LOSS
            and r.raised_ms >= since_ms and r.row >= 0
        ]] = True  # fmt: skip
        return out

    def findings(self) -> list[NamedFinding]:
        """What is open, and what ended not long ago."""
        return self._named(self._rows)

    def _named(self, rows: Iterable[Row]) -> list[NamedFinding]:
        size: dict[str, int] = {}
        for r in self._rows:
            if r.end_ms is None:
                size[r.incident] = size.get(r.incident, 0) + 1
        return [
            NamedFinding(
                kind=r.kind,
                device_id=r.device_id,
                luminaire_id=r.luminaire_id,
                incident=r.incident,
                cause_kind=r.cause_kind,
                cause_id=r.cause_id,
                start_ms=r.start_ms,
                end_ms=r.end_ms,
                raised_ms=r.raised_ms,
                severity=severity_of(r.kind, size.get(r.incident, 1)),
                confidence=r.confidence,
                note=r.note,
                evidence=r.evidence,
                simulated=r.simulated or r.device_id in self.simulated,
                withdrawn=r.withdrawn,
            )
            for r in rows
        ]

    def _new(self, e: Episode, renamed: Mapping[str, str], now_ms: int) -> Row:
        asset = self.plan.assets[e.row]
        cause_id = self.plan.name_of(e.cause_kind, e.cause)
        return Row(
            kind=e.kind,
            row=e.row,
            device_id=asset.device_id,
            luminaire_id=asset.luminaire_id,
            incident=renamed.get(e.incident, e.incident),
            cause_kind=e.cause_kind,
            cause_id=cause_id,
            start_ms=e.start_ms,
            end_ms=e.end_ms,
            raised_ms=now_ms,
            confidence=e.confidence,
            note=said_of(e, cause_id),
            evidence=dict(e.evidence),
            simulated=asset.device_id in self.simulated,
        )

    def _update(self, row: Row, e: Episode) -> None:
        row.settled, row.withdrawn = True, False
        row.start_ms, row.end_ms = e.start_ms, e.end_ms
        row.cause_kind, row.cause_id = e.cause_kind, self.plan.name_of(e.cause_kind, e.cause)
        row.confidence, row.evidence = e.confidence, dict(e.evidence)
        row.note = said_of(e, row.cause_id)


def said_of(e: Episode, cause_id: str) -> str:
    """The sentence of a finding."""
    return explain(e.kind, e.cause_kind, cause_id, e.evidence, note=e.note)


def same_matter(row: Row, e: Episode) -> bool:
    """Whether a reported finding and a judged episode are one: they overlap or begin alike."""
    if abs(row.start_ms - e.start_ms) <= SAME_MATTER_MS:
        return True
    last = float("inf")
    row_end = last if row.end_ms is None else row.end_ms
    e_end = last if e.end_ms is None else e.end_ms
    return row.start_ms < e_end and e.start_ms < row_end


def severity_of(kind: FindingKind, members: int) -> Severity:
    """How much a finding matters by itself."""
    if kind is FindingKind.SUPPLY_LOSS or (kind is FindingKind.LAMP_FAILURE and members >= 5):
        return Severity.URGENT
    if kind in (FindingKind.LAMP_FAILURE, FindingKind.CYCLING_FAILURE, FindingKind.SWITCHING_ERROR):
        return Severity.MAJOR
    return Severity.MINOR

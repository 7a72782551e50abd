"""The city's own case system: our orders go there and their state comes back, by Open311."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast
from urllib.parse import urlencode

from api.interop.open311 import moment_ms, stamp
from api.notify.errors import DeliveryError
from api.notify.outgoing import Outgoing, Response
from api.operations.reports import public_status

__all__ = ["CaseClient", "CaseOutbox", "CaseSync", "CaseSystemSettings", "RemoteCase", "Synced"]

DAY_MS = 86_400_000
# GeoReport servers answer at most 90 days or 1,000 requests.
SEARCH_BACK_MS = 89 * DAY_MS
IDS_PER_QUESTION = 50
MAX_ANSWER = 4_000_000


@dataclass(frozen=True, slots=True)
class CaseSystemSettings:
    """Where the case system is.

    Attributes
    ----------
    name : str
        What we call it; links to cases are kept under this name.
    url : str
        Up to and with `/v2`, say.
    service_code : str
        Theirs, for a lighting order.
    """

    name: str
    url: str
    api_key: str
    service_code: str
    jurisdiction_id: str = ""


@dataclass(frozen=True, slots=True)
class RemoteCase:
    """A case as the other system has it."""

    remote_id: str
    status: str
    updated_ms: int | None
    description: str


@dataclass(frozen=True, slots=True)
class Synced:
    """What one turn did."""

    told: int = 0
    failed: int = 0
    closed: int = 0


class CaseOutbox(Protocol):
    """The ledger, as far as this needs it."""

    def claim_case_jobs(
        self, system: str, claimant: str, *, now_ms: int, limit: int = 50
    ) -> Sequence[Any]:
        """Orders the system has not heard the latest of."""
        ...

    def case_told(self, job: Any, *, remote_id: str, now_ms: int) -> None:
        """It has now."""
        ...

    def case_failed(self, job: Any, error: str, *, now_ms: int) -> None:
        """It could not be told."""
        ...

    def case_links(self, system: str) -> Sequence[Any]:
        """Orders it knows."""
        ...

    def case_status(
        self, system: str, order_id: int, *, status: str, updated_ms: int | None
    ) -> bool:
        """Keep what it says; whether that is news."""
        ...

    def done_elsewhere(self, order_id: int, *, system: str, now_ms: int) -> bool:
        """Mark an order done because the other system closed its case; whether that changed it."""
        ...


class CaseClient:
    """Speaks Open311 GeoReport v2 (JSON) to another system.

    Parameters
    ----------
    settings : CaseSystemSettings
    outgoing : Outgoing
    """

    def __init__(self, settings: CaseSystemSettings, outgoing: Outgoing) -> None:
        self.settings = settings
        self._outgoing = outgoing

    def create(self, order: Any, *, marker: str) -> str:
        """Make a case for an order; its id there.

        The marker goes along as our reference, as Idempotency-Key, and in the text, so that a case
        whose answer was lost can be found again in any server.
        """
        description = f"{order.title}\n{order.why}\n{order.note}"[:3800] + f"\n[{marker}]"
        fields: dict[str, str] = {
            "service_code": self.settings.service_code,
            "description": description,
            "attribute[reference]": marker,
        }
        if order.lat is not None and order.lon is not None:
            fields |= {"lat": f"{order.lat:.6f}", "long": f"{order.lon:.6f}"}
        else:
            fields["address_string"] = order.site or order.cause_id
        answer = self._post("requests.json", fields, key=marker)
        items = json_list(answer)
        found = str(items[0].get("service_request_id") or "") if items else ""
        if not found:
            raise DeliveryError("the case system gave no service_request_id.")
        return found

    def find(self, marker: str, *, now_ms: int) -> str | None:
        """The id of a case that was made, although its answer never came."""
        query = {
            "service_code": self.settings.service_code,
            "start_date": stamp(now_ms - SEARCH_BACK_MS) or "",
            "end_date": stamp(now_ms + DAY_MS) or "",
        }
        for item in json_list(self._get("requests.json", query)):
            if f"[{marker}]" in str(item.get("description") or ""):
                return str(item["service_request_id"])
        return None

    def update(self, order: Any, remote_id: str, *, marker: str) -> None:
        """Tell how an order stands; a server without this extension need not be told."""
        _, extended, note = public_status(
            order.state,
            waiting_for=order.waiting_for,
            rejection=order.rejection,
            owner=order.owner,
            duplicate_of=order.duplicate_of,
            verification=order.verification,
        )
        fields = {
            "service_request_id": remote_id,
            "update_id": f"{marker}-{order.version}",
            "status": extended.value,
            "description": note or order.title,
            "updated_datetime": stamp(order.updated_ms) or "",
        }
        self._post(
            "servicerequestupdates.json", fields, key=f"{marker}-{order.version}", may_lack=True
        )

    def cases(self, remote_ids: Sequence[str]) -> list[RemoteCase]:
        """How these cases stand there."""
        found: list[RemoteCase] = []
        for i in range(0, len(remote_ids), IDS_PER_QUESTION):
            part = ",".join(remote_ids[i : i + IDS_PER_QUESTION])
            for item in json_list(self._get("requests.json", {"service_request_id": part})):
                updated = item.get("updated_datetime")
                found.append(
                    RemoteCase(
                        str(item.get("service_request_id")),
                        str(item.get("status")),
                        moment_ms(updated) if isinstance(updated, str) and updated else None,
                        str(item.get("description") or ""),
                    )
                )
        return found

    def _post(
        self, path: str, fields: Mapping[str, str], *, key: str, may_lack: bool = False
    ) -> Response:
        form = dict(fields) | {"api_key": self.settings.api_key}
        if self.settings.jurisdiction_id:
            form["jurisdiction_id"] = self.settings.jurisdiction_id
        answer = self._outgoing.request(
            "POST",
            f"{self.settings.url.rstrip('/')}/{path}",
            body=urlencode(form).encode(),
            headers={
                "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
                "Accept": "application/json",
                "Idempotency-Key": key,
                "User-Agent": "ljusvakt",
            },
            max_answer=MAX_ANSWER,
        )
        return self._checked(answer, may_lack=may_lack)

    def _get(self, path: str, query: Mapping[str, str]) -> Response:
        if self.settings.jurisdiction_id:
            query = dict(query) | {"jurisdiction_id": self.settings.jurisdiction_id}
        answer = self._outgoing.request(
            "GET",
            f"{self.settings.url.rstrip('/')}/{path}?{urlencode(query)}",
            headers={"Accept": "application/json", "User-Agent": "ljusvakt"},
            max_answer=MAX_ANSWER,
        )
        return self._checked(answer)

    def _checked(self, answer: Response, *, may_lack: bool = False) -> Response:
        if 200 <= answer.status < 300 or (may_lack and answer.status in {404, 405, 501}):
            return answer
        text = answer.body[:200].decode("utf-8", "replace").replace("\n", " ")
        raise DeliveryError(f"{self.settings.name} answered {answer.status}: {text}")


class CaseSync:
    """Keeps our orders and the other system's cases in step.

    Parameters
    ----------
    ledger : CaseOutbox
    client : CaseClient
    name : str
        Of this replica.
    """

    def __init__(self, ledger: CaseOutbox, client: CaseClient, *, name: str) -> None:
        self._ledger = ledger
        self._client = client
        self._name = name
        self._system = client.settings.name

    def run_once(self, *, now_ms: int) -> Synced:
        """Tell what is new, then ask how our cases stand."""
        told = failed = 0
        for job in self._ledger.claim_case_jobs(self._system, self._name, now_ms=now_ms):
            try:
                remote_id = self._tell(job, now_ms)
            except DeliveryError as error:
                self._ledger.case_failed(job, error.message, now_ms=now_ms)
                failed += 1
            else:
                self._ledger.case_told(job, remote_id=remote_id, now_ms=now_ms)
                told += 1
        return Synced(told, failed, self._ask(now_ms))

    def _tell(self, job: Any, now_ms: int) -> str:
        marker = f"ljusvakt-{job.order.id}"
        remote_id = job.link.remote_id
        if remote_id is None and job.attempts:
            # The last try may have arrived although we never heard so.
            remote_id = self._client.find(marker, now_ms=now_ms)
        if remote_id is None:
            remote_id = self._client.create(job.order, marker=marker)
            if job.order.version == 1:
                return str(remote_id)
        self._client.update(job.order, remote_id, marker=marker)
        return str(remote_id)

    def _ask(self, now_ms: int) -> int:
        links = {link.remote_id: link for link in self._ledger.case_links(self._system)}
        waiting = [number for number, link in links.items() if link.remote_status != "closed"]
        closed = 0
        try:
            cases = self._client.cases(waiting)
        except DeliveryError:
            return 0  # asked again at the next turn
        for case in cases:
            link = links.get(case.remote_id)
            if link is None:
                continue
            news = self._ledger.case_status(
                self._system, link.order_id, status=case.status, updated_ms=case.updated_ms
            )
            if news and case.status == "closed":
                closed += self._ledger.done_elsewhere(
                    link.order_id, system=self._system, now_ms=now_ms
                )
        return closed


def json_list(answer: Response) -> list[dict[str, Any]]:
    """The top-level array GeoReport answers with; some servers wrap it in an object."""
    try:
        content: Any = json.loads(answer.body)
    except ValueError as error:
        raise DeliveryError("the case system did not answer in JSON.") from error
    if isinstance(content, dict):
        lists = [v for v in cast("dict[str, Any]", content).values() if isinstance(v, list)]
        content = lists[0] if len(lists) == 1 else [content]
    if not isinstance(content, list):
        raise DeliveryError("the case system answered with something else than a list.")
    items = cast("list[object]", content)
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]

"""Who is told, what was told, and what somebody has seen."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from api.auth import Needs, Principal, Role
from api.errors import LjusvaktError
from api.notify.mail import check_mail_address
from api.notify.outgoing import Outgoing
from api.operations.alerts import (
    Channel,
    DeliveryState,
    Matter,
    Recipient,
    parse_rules,
    stored_rules,
)
from api.pagination import PageAsked
from api.problems import ProblemError
from api.routes.access import noted
from api.routes.repeats import Repeatable
from api.routes.shapes import In, ListOf, Name, Text, moment
from api.services import ServiceDep

router = APIRouter(prefix="/api/v1", tags=["alerts"], route_class=Repeatable)
Operator = Annotated[Principal, Depends(Needs(Role.OPERATOR, Role.ADMIN))]
Admin = Annotated[Principal, Depends(Needs(Role.ADMIN))]


class AlertOut(BaseModel):
    """Something people may be told of; one for one matter, whoever noticed it."""

    id: int
    key: str
    kind: str
    work_order_id: int | None
    area: str
    crew: str
    urgency: int
    at: str
    title: str
    acknowledged_at: str | None

    @classmethod
    def of(cls, matter: Matter) -> "AlertOut":
        """One matter."""
        return cls(
            id=matter.id,
            key=matter.key,
            kind=matter.kind,
            work_order_id=matter.order_id,
            area=matter.area,
            crew=matter.crew,
            urgency=matter.rank,
            at=moment(matter.at_ms) or "",
            title=matter.title,
            acknowledged_at=moment(matter.acknowledged_ms),
        )


@router.get("/alerts")
def alerts(
    services: ServiceDep,
    pages: PageAsked,
    _: Operator,
) -> ListOf[AlertOut]:
    """Alerts in the order they came."""
    page = pages.by_number(
        lambda after, limit: services.ledger.matters(after=after or 0, limit=limit)
    )
    return ListOf(items=[AlertOut.of(matter) for matter in page.items], next=page.next)


@router.post("/alerts/{alert_id}/acknowledge")
def acknowledge(
    alert_id: Annotated[int, Path(ge=1, lt=2**62)], services: ServiceDep, principal: Operator
) -> AlertOut:
    """Somebody has seen it: nobody further up is woken. Again changes nothing."""
    matter = services.ledger.acknowledge(
        alert_id, actor=principal.name, now_ms=services.clock.now_ms()
    )
    return AlertOut.of(matter)


class RecipientOut(BaseModel):
    """A person or system that is told."""

    name: str
    channel: str
    address: str
    active: bool
    rules: dict[str, Any]

    @classmethod
    def of(cls, recipient: Recipient) -> "RecipientOut":
        """One recipient, without its secret."""
        return cls(
            name=recipient.name,
            channel=recipient.channel.value,
            address=recipient.address,
            active=recipient.active,
            rules=stored_rules(recipient.rules),
        )


class NewRecipientOut(RecipientOut):
    """`secret` signs what a webhook receives; it is shown when it is set."""

    secret: str


def check_address(channel: Channel, address: str, allow: list[str]) -> None:
    """Refuse what must never be called: addresses inside, other schemes (SSRF).

    Raises
    ------
    ProblemError
        422 saying what is wrong with it.
    """
    try:
        if channel is Channel.WEBHOOK:
            Outgoing(allow=allow).check_at_save(address)
        elif channel is Channel.EMAIL:
            check_mail_address(address)
    except LjusvaktError as error:
        raise ProblemError(422, detail=error.message) from error


class RecipientIn(In):
    """How somebody is told, and what they want to be told."""

    channel: Annotated[Channel, Field(strict=False)]
    address: Annotated[Text, Field(min_length=1, max_length=500)]
    rules: dict[str, Any] = Field(default_factory=dict)
    active: bool = True


@router.get("/alert-recipients")
def recipients(
    services: ServiceDep,
    pages: PageAsked,
    _: Admin,
) -> ListOf[RecipientOut]:
    """Everybody who is told, by name."""
    page = pages.of(services.ledger.recipients(), key=lambda recipient: (recipient.name,))
    return ListOf(items=[RecipientOut.of(one) for one in page.items], next=page.next)


@router.put("/alert-recipients/{name}")
def put_recipient(
    name: Annotated[Name, Path(max_length=100)],
    body: RecipientIn,
    services: ServiceDep,
    principal: Admin,
) -> NewRecipientOut:
    """Add or change a recipient; where a webhook leads is checked now and whenever it is used."""
    check_address(body.channel, body.address, services.settings.notify.webhook_allow)
    made = services.ledger.put_recipient(
        name,
        channel=body.channel,
        address=body.address,
        rules=parse_rules(body.rules),
        active=body.active,
    )
    noted(services, principal, "recipient_set", name, channel=body.channel.value)
    return NewRecipientOut(**RecipientOut.of(made).model_dump(), secret=made.secret)


@router.delete("/alert-recipients/{name}", status_code=204)
def remove_recipient(
    name: Annotated[Name, Path(max_length=100)], services: ServiceDep, principal: Admin
) -> None:
    """Tell this recipient nothing more."""
    services.ledger.remove_recipient(name)
    noted(services, principal, "recipient_removed", name)


class DeliveryOut(BaseModel):
    """One message to one recipient."""

    id: int
    alert_id: int
    recipient: str
    state: str
    attempts: int
    sent_at: str | None
    error: str
    interrupted: int = Field(description="Tries cut off by a crash; they may have arrived")


@router.get("/alert-deliveries")
def deliveries(
    services: ServiceDep,
    _: Admin,
    state: DeliveryState | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> ListOf[DeliveryOut]:
    """What was and is to be told, the newest first; `state=dead` are those nobody could deliver."""
    found = services.ledger.deliveries(state=state, limit=limit)
    return ListOf(
        items=[
            DeliveryOut(
                id=d.id,
                alert_id=d.matter_id,
                recipient=d.recipient,
                state=d.state.value,
                attempts=d.attempts,
                sent_at=moment(d.sent_ms),
                error=d.error,
                interrupted=d.interrupted,
            )
            for d in found
        ]
    )

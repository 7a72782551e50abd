"""Signed webhooks: CloudEvents in a POST, signed as Standard Webhooks 1.0 describes."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable

from api.notify.errors import DeliveryError
from api.notify.messages import cloud_event
from api.notify.outgoing import Outgoing
from api.operations.alerts import Message

__all__ = ["WebhookNotifier", "sign"]

# Answers after which another try is in vain; 408, 409, 425 and 429 may pass.
FOR_GOOD = frozenset(range(400, 500)) - {408, 409, 425, 429}


def sign(secret: str, *, message_id: str, timestamp: int, body: bytes) -> str:
    """`webhook-signature` of a message: HMAC-SHA-256 over "id.timestamp.body".

    References
    ----------
    Standard Webhooks 1.0.0, section "Verifying webhook authenticity".
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


class WebhookNotifier:
    """Posts messages to a recipient's URL.

    Parameters
    ----------
    outgoing : Outgoing
    source : str
        Who says it: the platform's public address.
    now_s : callable
        Time for the signature: the machine's own, because the receiver compares it with its own.
    """

    def __init__(
        self, outgoing: Outgoing, *, source: str, now_s: Callable[[], float] = time.time
    ) -> None:
        self._outgoing = outgoing
        self._source = source
        self._now_s = now_s

    def send(self, message: Message) -> None:
        """Post it; a single event as it is, several as a batch.

        Raises
        ------
        DeliveryError
        """
        events = [cloud_event(matter, source=self._source) for matter in message.matters]
        single = len(events) == 1
        body = json.dumps(events[0] if single else events, ensure_ascii=False).encode()
        kind = "cloudevents" if single else "cloudevents-batch"
        timestamp = int(self._now_s())
        answer = self._outgoing.request(
            "POST",
            message.recipient.address,
            body=body,
            headers={
                "Content-Type": f"application/{kind}+json; charset=utf-8",
                "User-Agent": "ljusvakt",
                "webhook-id": message.id,
                "Idempotency-Key": message.id,
                "webhook-timestamp": str(timestamp),
                "webhook-signature": sign(
                    message.recipient.secret, message_id=message.id, timestamp=timestamp, body=body
                ),
            },
        )
        if 200 <= answer.status < 300:
            return
        wait = answer.headers.get("retry-after", "")
        raise DeliveryError(
            f"the receiver answered {answer.status}",
            for_good=answer.status in FOR_GOOD,
            retry_after_ms=min(int(wait), 3600) * 1000 if wait.isdecimal() else 0,
        )

"""Lists a page at a time: keyset cursors that are opaque and signed."""

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Query, Request, Response

from api.problems import ProblemError

__all__ = ["Limit", "Page", "PageCursor", "cursor_of", "key_of", "page_of"]

Row = TypeVar("Row")
Limit = Annotated[int, Query(ge=1, le=1000, description="How many items at most.")]
PageCursor = Annotated[
    str | None,
    Query(max_length=2000, description="The `next` of the page before; opaque."),
]


@dataclass(frozen=True, slots=True)
class Page:
    """Items of one page and the cursor of the next; `next` is None on the last."""

    items: list[dict[str, Any]]
    next: str | None

    def body(self) -> dict[str, Any]:
        """As it is sent."""
        return {"items": self.items, "next": self.next}


def _signature(secret: bytes, scope: str, text: bytes) -> bytes:
    return hmac.digest(secret, scope.encode() + b"\0" + text, "sha256")[:16]


def cursor_of(key: Sequence[str | int | float | None], *, secret: bytes, scope: str) -> str:
    """A cursor behind the item with this sort key.

    Parameters
    ----------
    key : sequence
        What the list is sorted by, last part unique.
    secret : bytes
        Signs it, so that nobody invents sort keys.
    scope : str
        The list and its filters: a cursor of one list is none of another.
    """
    text = json.dumps(list(key), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_signature(secret, scope, text) + text).decode().rstrip("=")


def key_of(cursor: str, *, secret: bytes, scope: str) -> list[Any]:
    """The sort key in a cursor.

    Raises
    ------
    ProblemError
        422 when the cursor was not made by us for this very list.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    signature, text = raw[:16], raw[16:]
    if not text or not hmac.compare_digest(signature, _signature(secret, scope, text)):
        raise ProblemError(422, "This cursor does not belong to this list")
    key: list[Any] = json.loads(text)
    return key


def page_of(
    rows: Sequence[Row],
    *,
    key: Callable[[Row], tuple[Any, ...]],
    shown: Callable[[Row], dict[str, Any]],
    limit: int,
    cursor: str | None,
    secret: bytes,
    request: Request,
    response: Response,
) -> Page:
    """One page of rows that are all at hand.

    The rows are sorted by `key`; those at or before the cursor's key are left out. The address of
    the next page is also sent as `Link: rel="next"`.
    """
    filters = sorted((n, v) for n, v in request.query_params.multi_items() if n not in NOT_FILTERS)
    scope = request.url.path + repr(filters)
    ordered = sorted(rows, key=key)
    if cursor is not None:
        behind = tuple(key_of(cursor, secret=secret, scope=scope))
        ordered = [row for row in ordered if key(row) > behind]
    page = ordered[:limit]
    following = None
    if len(ordered) > limit:
        following = cursor_of(key(page[-1]), secret=secret, scope=scope)
        address = request.url.include_query_params(cursor=following)
        response.headers["Link"] = f'<{address.path}?{address.query}>; rel="next"'
    return Page([shown(row) for row in page], following)


NOT_FILTERS = frozenset({"cursor", "limit"})

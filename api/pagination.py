"""Lists a page at a time: keyset cursors that are opaque and signed."""

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query, Request, Response

from api.ledger.views import Page as LedgerPage
from api.problems import ProblemError

__all__ = ["Limit", "Page", "PageCursor", "cursor_of", "key_of", "page_of", "turn"]

Row = TypeVar("Row")
Limit = Annotated[int, Query(ge=1, le=1000, description="How many items at most.")]
PageCursor = Annotated[
    str | None,
    Query(max_length=2000, description="The `next` of the page before; opaque."),
]


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Items of one page and the cursor of the next; `next` is None on the last."""

    items: list[Row]
    next: str | None


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
    limit: int,
    cursor: str | None,
    secret: bytes,
    request: Request,
    response: Response,
) -> Page[Row]:
    """One page of rows that are all at hand.

    The rows are sorted by `key`; those at or before the cursor's key are left out. The address of
    the next page is also sent as `Link: rel="next"`.
    """
    scope = scope_of(request)
    ordered = sorted(rows, key=key)
    if cursor is not None:
        behind = tuple(key_of(cursor, secret=secret, scope=scope))
        ordered = [row for row in ordered if key(row) > behind]
    page = ordered[:limit]
    following = None
    if len(ordered) > limit:
        following = cursor_of(key(page[-1]), secret=secret, scope=scope)
        link_next(request, response, following)
    return Page(page, following)


def scope_of(request: Request) -> str:
    """The list and its filters, without where in it we are."""
    given = request.query_params.multi_items()
    return request.url.path + repr(sorted((n, v) for n, v in given if n not in NOT_FILTERS))


def link_next(request: Request, response: Response, cursor: str) -> None:
    """Say also in a header where the next page is (RFC 8288)."""
    address = request.url.include_query_params(cursor=cursor)
    response.headers["Link"] = f'<{address.path}?{address.query}>; rel="next"'


def turn(
    after: Callable[[tuple[int, ...] | None], LedgerPage[Row]],
    *,
    cursor: str | None,
    secret: bytes,
    request: Request,
    response: Response,
) -> Page[Row]:
    """One page of a list that the ledger itself keeps in order.

    Parameters
    ----------
    after : callable
        The sort key of the last item seen (None at the start) to the ledger's next page.
    """
    scope = scope_of(request)
    behind = tuple(key_of(cursor, secret=secret, scope=scope)) if cursor is not None else None
    page = after(behind)
    following = None
    if page.next is not None:
        following = cursor_of(page.next, secret=secret, scope=scope)
        link_next(request, response, following)
    return Page(list(page.items), following)


NOT_FILTERS = frozenset({"cursor", "limit", "lang", "theme"})

"""Lists a page at a time: keyset cursors that are opaque and signed."""

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Protocol, TypeVar

from fastapi import Depends, Query, Request, Response

from api.ledger.views import Page as LedgerPage
from api.problems import ProblemError
from api.services import ServiceDep

__all__ = ["Page", "PageAsked", "Paging", "paging", "screens"]

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


class Numbered(Protocol):
    """What has a number of its own, by which it is listed."""

    @property
    def id(self) -> int:
        """The number."""
        ...


Item = TypeVar("Item", bound=Numbered)


@dataclass(frozen=True, slots=True)
class Paging:
    """Where in a list somebody is, and how much of it they ask for.

    The address of the next page is also sent as `Link: rel="next"`.
    """

    request: Request
    response: Response
    secret: bytes
    limit: int
    cursor: str | None

    @property
    def scope(self) -> str:
        """The list and its filters, without where in it we are."""
        given = self.request.query_params.multi_items()
        filters = sorted((name, value) for name, value in given if name not in NOT_FILTERS)
        return self.request.url.path + repr(filters)

    def behind(self) -> tuple[Any, ...] | None:
        """The sort key of the last item seen; None at the start of the list."""
        if self.cursor is None:
            return None
        return tuple(key_of(self.cursor, secret=self.secret, scope=self.scope))

    def page(self, items: list[Row], next_key: Sequence[Any] | None) -> Page[Row]:
        """These items, and a cursor to where the list goes on, if it does (RFC 8288)."""
        if next_key is None:
            return Page(items, None)
        following = cursor_of(next_key, secret=self.secret, scope=self.scope)
        address = self.request.url.include_query_params(cursor=following)
        self.response.headers["Link"] = f'<{address.path}?{address.query}>; rel="next"'
        return Page(items, following)

    def of(self, rows: Sequence[Row], *, key: Callable[[Row], tuple[Any, ...]]) -> Page[Row]:
        """One page of rows that are all at hand; it sorts them by `key`."""
        ordered = sorted(rows, key=key)
        if (behind := self.behind()) is not None:
            ordered = [row for row in ordered if key(row) > behind]
        items = ordered[: self.limit]
        return self.page(items, key(items[-1]) if len(ordered) > self.limit else None)

    def turn(self, after: Callable[[tuple[int, ...] | None], LedgerPage[Row]]) -> Page[Row]:
        """One page of a list that the ledger keeps in order, from the last key seen."""
        found = after(self.behind())
        return self.page(list(found.items), found.next)

    def by_number(self, found: Callable[[int | None, int], Sequence[Item]]) -> Page[Item]:
        """One page of a list in the order of its numbers.

        Parameters
        ----------
        found : callable
            The number of the last item seen (None at the start) and how many are wanted to items.
        """
        behind = self.behind()
        items = list(found(behind[0] if behind else None, self.limit + 1))
        more = len(items) > self.limit
        return self.page(items[: self.limit], (items[self.limit - 1].id,) if more else None)


def paging(usual: int) -> Callable[..., Paging]:
    """A dependency: pages of as many items as asked for, usually so many."""

    def asked(
        request: Request,
        response: Response,
        services: ServiceDep,
        limit: Limit = usual,
        cursor: PageCursor = None,
    ) -> Paging:
        return Paging(request, response, services.secret, limit, cursor)

    return asked


def screens(rows: int) -> Callable[..., Paging]:
    """A dependency: pages of so many items, whatever is asked for."""

    def asked(
        request: Request, response: Response, services: ServiceDep, cursor: PageCursor = None
    ) -> Paging:
        return Paging(request, response, services.secret, rows, cursor)

    return asked


NOT_FILTERS = frozenset({"cursor", "limit", "lang", "theme"})
PageAsked = Annotated[Paging, Depends(paging(100))]

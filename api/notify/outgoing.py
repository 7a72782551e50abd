"""Requests to addresses other people chose: only to public ones, and only to the one looked up."""

import http.client
import socket
import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, cast
from urllib.parse import urlsplit

from api.notify.errors import DeliveryError, RefusedAddressError

__all__ = ["Outgoing", "Response", "is_public"]

# Python's `is_global` lets these through: NAT64, 6to4, Teredo, IPv4-compatible, site-local.
NEVER = tuple(
    ip_network(text)
    for text in (
        "::/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
        "fec0::/10",
        "192.88.99.0/24",
    )
)
MAX_ANSWER = 65_536
Resolve = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Response:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def is_public(text: str) -> bool:
    """Whether an IP address is one of the public internet."""
    try:
        ip = ip_address(text.split("%", maxsplit=1)[0])
    except ValueError:
        return False
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return (
        ip.is_global
        and not ip.is_multicast
        and not any(ip.version == net.version and ip in net for net in NEVER)
    )


class Outgoing:
    """A guarded HTTP client: resolves once, connects to that address, follows no redirect.

    Parameters
    ----------
    allow : collection of str
        "host:port" of receivers in a closed network; these may be plain http and private. Set by
        whoever runs the platform, never through the API.
    timeout_s : float
    resolve : callable
        As `socket.getaddrinfo`.
    """

    def __init__(
        self,
        *,
        allow: Collection[str] = (),
        timeout_s: float = 10.0,
        resolve: Resolve = socket.getaddrinfo,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allow = frozenset(allow)
        self._timeout_s = timeout_s
        self._resolve = resolve
        self._tls = tls

    def check(self, url: str) -> list[str]:
        """The addresses a request to this URL may go to.

        Raises
        ------
        RefusedAddressError
            If it must not go there.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise RefusedAddressError(f"{url[:200]!r} is no address.") from error
        if not host or parts.username is not None or parts.password is not None:
            raise RefusedAddressError("the address needs a host and no user name.")
        port = port or (443 if parts.scheme == "https" else 80)
        allowed = f"{host}:{port}" in self._allow
        if parts.scheme != "https" and not (allowed and parts.scheme == "http"):
            raise RefusedAddressError("the address must begin with https://.")
        try:
            infos = cast(
                "list[tuple[Any, Any, Any, Any, tuple[Any, ...]]]",
                self._resolve(host, port, type=socket.SOCK_STREAM),
            )
        except (OSError, UnicodeError) as error:
            # A name that does not resolve now may do so later.
            raise DeliveryError(f"{host} cannot be resolved: {error}") from error
        found = [str(info[4][0]) for info in infos]
        if not found or not (allowed or all(is_public(address) for address in found)):
            raise RefusedAddressError(f"{host} is not an address of the public internet.")
        return found

    def check_at_save(self, url: str) -> None:
        """As `check`, but a name that does not resolve is refused as well."""
        try:
            self.check(url)
        except RefusedAddressError:
            raise
        except DeliveryError as error:
            raise RefusedAddressError(error.message) from error

    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        max_answer: int = MAX_ANSWER,
    ) -> Response:
        """One request, to the address that was checked.

        Raises
        ------
        RefusedAddressError
            If it must not go there.
        DeliveryError
            If nobody answers, or with more than `max_answer` bytes.
        """
        address = self.check(url)[0]
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection = self._connect(parts.scheme, cast("str", parts.hostname), parts.port, address)
        try:
            connection.request(method, target, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            content = answer.read(max_answer + 1)
            if len(content) > max_answer:
                raise DeliveryError(f"{parts.hostname} answered with too much.")
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Response(answer.status, found, content)
        except (OSError, http.client.HTTPException) as error:
            what = str(error) or type(error).__name__
            raise DeliveryError(f"{parts.hostname}: {what}") from error
        finally:
            connection.close()

    def _connect(
        self, scheme: str, host: str, port: int | None, address: str
    ) -> http.client.HTTPConnection:
        if scheme == "http":
            return PinnedHttp(host, port, address=address, timeout=self._timeout_s)
        context = self._tls or ssl.create_default_context()
        return PinnedHttps(host, port, address=address, timeout=self._timeout_s, context=context)


class PinnedHttp(http.client.HTTPConnection):
    """Talks to the address it was given, whatever the name resolves to by now."""

    def __init__(self, host: str, port: int | None, *, address: str, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self._address = address
        self._seconds = timeout

    def connect(self) -> None:
        """To the address, not to the name."""
        self.sock = socket.create_connection((self._address, self.port), self._seconds)


class PinnedHttps(http.client.HTTPSConnection):
    """The same, with the certificate of the name."""

    def __init__(
        self,
        host: str,
        port: int | None,
        *,
        address: str,
        timeout: float,
        context: ssl.SSLContext,
    ) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._address = address
        self._seconds = timeout
        self._tls = context

    def connect(self) -> None:
        """To the address; the certificate must be the name's."""
        plain = socket.create_connection((self._address, self.port), self._seconds)
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
        except OSError:
            plain.close()
            raise

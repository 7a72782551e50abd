"""A socket for clients that ask for a byte at a time and send a packet at a time.

paho-mqtt reads a packet in four or five calls and writes every acknowledgement by itself, and each
of these was a call to the system. Its public way to another socket is the TLS context: whatever
that wraps a connection in is what the client reads and writes. The client is handed as much as it
is allowed to read, so that whoever looks at what was read ahead can take some of it.
"""

import socket
import ssl
from typing import Final

__all__ = ["ReadAheadContext", "ReadAheadSocket"]

CHUNK: Final = 1 << 16
MOST_UNSENT: Final = 1 << 20


class ReadAheadSocket:
    """Reads what is there and hands out as much of it as is allowed; gathers what is written.

    Only for non-blocking use after `do_handshake`. What is gathered goes out at `flush` and
    `close`.

    Attributes
    ----------
    data : bytes
        What was read ahead.
    at : int
        How much of it is used up.
    allowed : int
        How many more bytes `recv` may hand out.
    ended : bool
        Whether the other end has closed.
    failure : OSError or None
        Why reading failed; the client knows only that it did.
    """

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self.data = b""
        self.at = 0
        self.allowed = 0
        self.ended = False
        self.failure: OSError | None = None
        self._unsent = bytearray()

    def fill(self) -> bool:
        """Read what is there; whether there may be more of it."""
        try:
            came = self._inner.recv(CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False  # nothing is there yet
        except OSError as error:
            self.failure = error
            return False
        if not came:
            self.ended = True
            return False
        self.data = self.data[self.at :] + came if self.at < len(self.data) else came
        self.at = 0
        return len(came) == CHUNK or isinstance(self._inner, ssl.SSLSocket)

    def recv(self, size: int) -> bytes:
        """At most so many of the bytes that are allowed; empty when the other end has closed.

        Raises
        ------
        BlockingIOError
            When none are allowed, or those have not come yet.
        OSError
            When reading has failed.
        """
        at = self.at
        part = self.data[at : at + min(size, self.allowed)]
        if part:
            self.at = at + len(part)
            self.allowed -= len(part)
            return part
        if self.failure is not None:
            raise self.failure
        if self.ended:
            return b""
        raise BlockingIOError

    def send(self, data: bytes | bytearray) -> int:
        """Take bytes to be sent at `flush`.

        Raises
        ------
        BlockingIOError
            When the other end has not taken what was given before.
        """
        if len(self._unsent) > MOST_UNSENT and not self.flush():
            raise BlockingIOError
        self._unsent += data
        return len(data)

    def flush(self) -> bool:
        """Send what was gathered; whether all of it went."""
        unsent = self._unsent
        while unsent:
            try:
                del unsent[: self._inner.send(unsent)]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return False
        return True

    def close(self) -> None:
        """Send what goes without waiting, and close."""
        try:
            self.flush()
        except OSError:
            self._unsent.clear()  # the other end is gone
        self._inner.close()

    def shutdown(self, how: int) -> None:
        """As `socket.socket.shutdown`."""
        self._inner.shutdown(how)

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._inner.fileno()

    def settimeout(self, timeout_s: float | None) -> None:
        """As `socket.socket.settimeout`."""
        self._inner.settimeout(timeout_s)

    def setblocking(self, flag: bool) -> None:
        """As `socket.socket.setblocking`."""
        self._inner.setblocking(flag)

    def do_handshake(self) -> None:
        """TLS's, where there is TLS."""
        if isinstance(self._inner, ssl.SSLSocket):
            self._inner.do_handshake()


class ReadAheadContext:
    """Stands in for a TLS context.

    Parameters
    ----------
    tls : ssl.SSLContext or None
        None leaves the connection without TLS.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self.check_hostname = tls is None or tls.check_hostname

    def wrap_socket(
        self,
        sock: socket.socket,
        *,
        server_hostname: str | None = None,
        do_handshake_on_connect: bool = False,
    ) -> ReadAheadSocket:
        """As `ssl.SSLContext.wrap_socket`."""
        if self._tls is None:
            return ReadAheadSocket(sock)
        inner = self._tls.wrap_socket(
            sock, server_hostname=server_hostname, do_handshake_on_connect=do_handshake_on_connect
        )
        return ReadAheadSocket(inner)

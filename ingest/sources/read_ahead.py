"""A socket for clients that ask for a byte at a time and send a packet at a time.

paho-mqtt reads a packet in four or five calls and writes every acknowledgement by itself, and each
of these was a call to the system. Its public way to another socket is the TLS context: whatever
that wraps a connection in is what the client reads and writes.
"""

import socket
import ssl
from typing import Final

__all__ = ["ReadAheadContext", "ReadAheadSocket"]

CHUNK: Final = 1 << 16
MOST_UNSENT: Final = 1 << 20


class ReadAheadSocket:
    """Reads what is there and hands it out in the portions asked for; gathers what is written.

    Only for non-blocking use after `do_handshake`. What is gathered goes out at `flush` and
    `close`.

    Attributes
    ----------
    failure : OSError or None
        Why reading failed; the client knows only that it did.
    """

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self.failure: OSError | None = None
        self._read = b""
        self._at = 0
        self._unsent = bytearray()

    def recv(self, size: int) -> bytes:
        """At most so many bytes; empty when the other end has closed."""
        at = self._at
        if at == len(self._read):
            self._read, at = b"", 0
            self._at = 0
            self._read = self._receive()
        part = self._read[at : at + size]
        self._at = at + len(part)
        return part

    def _receive(self) -> bytes:
        try:
            return self._inner.recv(CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise  # nothing is there yet
        except OSError as error:
            self.failure = error
            raise

    def pending(self) -> int:
        """How many bytes can be had without the system telling of them."""
        inner = self._inner
        held = inner.pending() if isinstance(inner, ssl.SSLSocket) else 0
        return len(self._read) - self._at + held

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

"""The socket that reads ahead changes how often the system is called, and nothing else."""

import contextlib
import socket
from collections.abc import Generator

import pytest

from ingest.sources.read_ahead import MOST_UNSENT, ReadAheadContext, ReadAheadSocket


@pytest.fixture
def both() -> Generator[tuple[ReadAheadSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    near = ReadAheadContext(None).wrap_socket(ours, server_hostname="localhost")
    near.do_handshake()
    near.setblocking(False)
    yield near, theirs
    near.close()
    theirs.close()


def test_what_came_is_handed_out_in_the_portions_asked_for(
    both: tuple[ReadAheadSocket, socket.socket],
) -> None:
    near, far = both
    far.sendall(b"abcdefg")
    assert [near.recv(1), near.recv(2)] == [b"a", b"bc"]
    assert near.pending() == 4
    far.sendall(b"hij")
    # What was read ahead comes first, and alone: the system is asked when nothing is left of it.
    assert [near.recv(100), near.pending(), near.recv(100)] == [b"defg", 0, b"hij"]
    with pytest.raises(BlockingIOError):
        near.recv(1)
    far.close()
    assert near.recv(1) == b""


def test_what_is_sent_goes_out_together_and_in_order(
    both: tuple[ReadAheadSocket, socket.socket],
) -> None:
    near, far = both
    far.setblocking(False)
    for part in (b"one ", b"two ", b"three"):
        assert near.send(part) == len(part)
    with pytest.raises(BlockingIOError):
        far.recv(100)
    assert near.flush()
    assert far.recv(100) == b"one two three"


def test_what_the_other_end_does_not_take_waits_and_is_bounded(
    both: tuple[ReadAheadSocket, socket.socket],
) -> None:
    near, far = both
    sent = bytearray()
    block = bytes(range(256)) * 1024
    with contextlib.suppress(BlockingIOError):
        while len(sent) < 64 * MOST_UNSENT:
            near.send(block)
            sent += block
    assert MOST_UNSENT < len(sent) < 64 * MOST_UNSENT
    with pytest.raises(BlockingIOError):
        near.send(block)
    received = bytearray()
    while len(received) < len(sent):
        near.flush()
        received += far.recv(1 << 20)
    assert received == sent
    assert near.flush()


def test_closing_sends_what_goes_without_waiting(
    both: tuple[ReadAheadSocket, socket.socket],
) -> None:
    near, far = both
    near.send(b"goodbye")
    near.close()
    assert (far.recv(100), far.recv(100)) == (b"goodbye", b"")
    assert near.fileno() == -1

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


def test_what_came_is_handed_out_as_far_as_it_is_allowed_and_in_the_portions_asked_for(
    both: tuple[ReadAheadSocket, socket.socket],
) -> None:
    near, far = both
    far.sendall(b"abcdefg")
    assert not near.fill()
    with pytest.raises(BlockingIOError):
        near.recv(1)
    near.allowed = 5
    assert [near.recv(1), near.recv(2), near.recv(100)] == [b"a", b"bc", b"de"]
    with pytest.raises(BlockingIOError):
        near.recv(1)
    far.sendall(b"hij")
    near.fill()
    assert near.data[near.at :] == b"fghij"
    near.allowed = 6
    assert near.recv(100) == b"fghij"
    with pytest.raises(BlockingIOError):
        near.recv(1)


def test_the_end_is_told_after_all_that_came_before_it(
    both: tuple[ReadAheadSocket, socket.socket],
) -> None:
    near, far = both
    far.sendall(b"ab")
    far.close()
    while not near.ended:
        near.fill()
    near.allowed = 2
    assert [near.recv(100), near.recv(1)] == [b"ab", b""]


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

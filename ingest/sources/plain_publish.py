"""The plainest PUBLISH packets, read many at a time; all others are left to the client library.

Plain is what nearly every message is: quality 1, shorter than 16 kB, a topic that is UTF-8, and
without properties in MQTT 5.

References
----------
MQTT Version 5.0, OASIS Standard, 7 March 2019; MQTT Version 3.1.1, OASIS Standard, 29 October 2014:
clauses 2.1 and 3.3 of the first, 2.2 and 3.3 of the second.
"""

from typing import Final

from ingest.sources import Message

__all__ = ["packet_size", "plain_publishes", "rest_is_due"]

QUALITY_1: Final = 0x32  # PUBLISH, quality 1
NOT_ITS_FLAGS: Final = 0xF6  # whatever DUP and RETAIN are
# The type and more than the four bytes a length may have: enough to see that it is none.
NO_LENGTH: Final = 6
WORTH_WAITING: Final = 1 << 14


def plain_publishes(
    data: bytes, at: int, *, properties: bool, base: int, messages: list[Message]
) -> int:
    """Append the messages of plain packets, up to the first other or unfinished one.

    Parameters
    ----------
    data : bytes
    at : int
        Where a packet begins.
    properties : bool
        Whether packets have properties (MQTT 5).
    base : int
        A message's token is this plus its packet id.
    messages : list of Message

    Returns
    -------
    int
        Where the first packet begins that was not taken.
    """
    end = len(data)
    while at + 4 < end and data[at] & NOT_ITS_FLAGS == QUALITY_1:
        begin = at + 2
        size = data[at + 1]
        if size >= 0x80:
            more = data[begin]
            if more >= 0x80 or not more:  # longer, or a length that is not written the short way
                break
            size = size & 0x7F | more << 7
            begin += 1
        stop = begin + size
        if stop > end or size < 5:
            break
        name = begin + 2
        number = name + (data[begin] << 8 | data[begin + 1])
        body = number + 2
        packet_id = data[number] << 8 | data[number + 1] if body <= stop else 0
        if not packet_id or number == name:
            break
        if properties:
            if body == stop or data[body]:
                break
            body += 1
        try:
            topic = data[name:number].decode()
        except UnicodeDecodeError:
            break
        messages.append((topic, data[body:stop], 1, bool(data[at] & 1), base + packet_id))
        at = stop
    return at


def packet_size(data: bytes, at: int) -> int:
    """How long the packet that begins here is; 0 while that cannot be said."""
    size = shift = 0
    for place in range(at + 1, min(at + NO_LENGTH - 1, len(data))):
        size |= (data[place] & 0x7F) << shift
        if data[place] < 0x80:
            return place + 1 - at + size
        shift += 7
    return NO_LENGTH if len(data) - at >= NO_LENGTH - 1 else 0


def rest_is_due(data: bytes, at: int) -> int:
    """How many bytes the client library is to read now, as `plain_publishes` did not take them.

    Returns
    -------
    int
        The size of the packet; 0 while more of it must come to say whose it is.
    """
    size = packet_size(data, at)
    unfinished = len(data) - at < size <= WORTH_WAITING
    return 0 if unfinished and data[at] & NOT_ITS_FLAGS == QUALITY_1 else size

"""What can go wrong on the way in.

IngestError
├── MalformedPayloadError     the bytes of one message cannot be read; it goes to quarantine
│   └── UnknownCodecError     no codec is known for the device, port or version
├── RefusedContentError       the message holds identifiers of people; it is counted, not kept
├── JournalError              the journal cannot be opened, read or written
│   └── JournalFullError      the journal has reached its quota; nothing is acknowledged
├── StoreError                the store did not take or give readings
│   ├── RefusedLinesError     the store took the batch but for some lines
│   ├── StoreAwayError        the store cannot be reached or is overloaded; it is tried again
│   ├── StoreDeniedError      the store does not know us or the database: settings are wrong
│   └── UnwritableError       line protocol cannot carry this point, or a line is not one of ours
├── UnreadableFileError       a file to import is not what it should be
├── SettingsError             a setting cannot be used
└── BrokerError               no broker could be found, started or reached
"""

from enum import StrEnum

__all__ = [
    "BrokerError",
    "IngestError",
    "JournalError",
    "JournalFullError",
    "MalformedPayloadError",
    "Reason",
    "RefusedContentError",
    "RefusedLinesError",
    "SettingsError",
    "StoreAwayError",
    "StoreDeniedError",
    "StoreError",
    "UnknownCodecError",
    "UnreadableFileError",
    "UnwritableError",
]


class Reason(StrEnum):
    """Why a message was not kept; the label of the counters and of the quarantine."""

    SYNTAX = "syntax"
    TYPE = "type"
    RANGE = "range"
    SHAPE = "shape"
    TIME = "time"
    IDENTITY = "identity"
    IDENTITY_MISMATCH = "identity_mismatch"
    UNKNOWN_DEVICE = "unknown_device"
    UNKNOWN_CODEC = "unknown_codec"
    UNKNOWN_TOPIC = "unknown_topic"
    TOO_LARGE = "too_large"
    ENCRYPTED = "encrypted"
    STORE_REFUSED = "store_refused"
    DECODER_ERROR = "decoder_error"
    PERSONAL_DATA = "personal_data"


class IngestError(Exception):
    """Base of everything ingest raises on purpose."""


class MalformedPayloadError(IngestError):
    """The bytes of one message cannot be read.

    Attributes
    ----------
    reason : Reason
    detail : str
        What was found and where, for the person who looks into the quarantine.
    device_id : str or None
    """

    def __init__(
        self, detail: str, *, reason: Reason = Reason.SYNTAX, device_id: str | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason
        self.device_id = device_id


class UnknownCodecError(MalformedPayloadError):
    """No codec is known for this device, port or version."""

    def __init__(self, detail: str, *, device_id: str | None = None) -> None:
        super().__init__(detail, reason=Reason.UNKNOWN_CODEC, device_id=device_id)


class RefusedContentError(IngestError):
    """The message holds something that identifies a person or vehicle.

    Attributes
    ----------
    field : str
        The name of the field. Its value is not kept, here or anywhere.
    """

    def __init__(self, field: str) -> None:
        super().__init__(f"field {field!r} looks like an identifier of a person or vehicle")
        self.field = field


class JournalError(IngestError):
    """The journal cannot be opened, read or written; the message names the file and the remedy."""


class JournalFullError(JournalError):
    """The journal has reached its quota; the broker holds the messages until there is room."""


class StoreError(IngestError):
    """The store did not take or give readings."""


class RefusedLinesError(StoreError):
    """The store took the batch but for these lines.

    Attributes
    ----------
    lines : list of (str, str)
        Each refused line with what the store said of it.
    """

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        super().__init__(f"{len(lines)} lines were refused, the first: {lines[0][1]}")
        self.lines = lines


class StoreAwayError(StoreError):
    """The store cannot be reached, is overloaded or broken; the same may be tried again.

    Attributes
    ----------
    retry_after_s : float or None
        How long the store asked to be left alone [s].
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreDeniedError(StoreError):
    """The store refuses us or does not know the database: someone must change the settings."""


class UnwritableError(StoreError):
    """Line protocol cannot carry this point, or a line is not one that we write."""


class UnreadableFileError(IngestError):
    """A file to import is not what it should be; the message names it and the remedy."""


class SettingsError(IngestError):
    """A setting cannot be used; the message names it and the remedy."""


class BrokerError(IngestError):
    """No broker could be found, started or reached."""

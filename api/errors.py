"""What the program says when something cannot be done.

LjusvaktError
├── BadInputError     settings, arguments or a file cannot be used: exit code 2
├── BusyError         too many ask at once; again in a moment
├── NotFoundError     the thing asked for does not exist: exit code 2
└── ConflictError     it exists, but not in the state that was asked for: exit code 2
    └── StaleVersionError   somebody changed it meanwhile
"""

__all__ = [
    "BadInputError",
    "BusyError",
    "ConflictError",
    "LjusvaktError",
    "NotFoundError",
    "StaleVersionError",
]


class LjusvaktError(Exception):
    """Base of everything api raises on purpose.

    Attributes
    ----------
    message : str
        What is wrong, naming the thing and the place.
    remedy : str
        What to do about it; may be empty.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        # One line reads as sentences, whether or not the message ended as one.
        super().__init__(f"{message.rstrip('.')}. {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy


class BadInputError(LjusvaktError):
    """Settings, arguments or a file cannot be used."""


class BusyError(LjusvaktError):
    """Too many ask at once; again in a moment."""


class NotFoundError(LjusvaktError):
    """The thing asked for does not exist, or not for whoever asks."""


class ConflictError(LjusvaktError):
    """It exists, but not in the state that was asked for."""


class StaleVersionError(ConflictError):
    """Somebody changed the order meanwhile.

    Attributes
    ----------
    seen, now : int
        The version the request was based on, and the one that stands.
    """

    def __init__(self, what: int | str, *, seen: int, now: int) -> None:
        name = what if isinstance(what, str) else f"work order {what}"
        super().__init__(f"{name} is at version {now}, not {seen}.", remedy="Read it again.")
        self.seen = seen
        self.now = now

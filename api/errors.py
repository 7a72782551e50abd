"""What the program says when something cannot be done.

LjusvaktError
├── BadInputError     settings, arguments or a file cannot be used: exit code 2
├── NotFoundError     the thing asked for does not exist
└── ConflictError     it exists, but not in the state that was asked for
"""

__all__ = ["BadInputError", "ConflictError", "LjusvaktError", "NotFoundError"]


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
        super().__init__(f"{message} {remedy}".strip())
        self.message = message
        self.remedy = remedy


class BadInputError(LjusvaktError):
    """Settings, arguments or a file cannot be used."""


class NotFoundError(LjusvaktError):
    """The thing asked for does not exist, or not for whoever asks."""


class ConflictError(LjusvaktError):
    """It exists, but not in the state that was asked for."""

"""What can go wrong on the way out.

LjusvaktError
└── DeliveryError              a message did not arrive
    └── RefusedAddressError    it must not go there
"""

from api.errors import LjusvaktError

__all__ = ["DeliveryError", "RefusedAddressError"]


class DeliveryError(LjusvaktError):
    """A message did not arrive.

    Attributes
    ----------
    for_good : bool
        Whether another try would be in vain.
    retry_after_ms : int
        How long the receiver asked us to wait; 0 if it did not say.
    """

    def __init__(self, message: str, *, for_good: bool = False, retry_after_ms: int = 0) -> None:
        super().__init__(message)
        self.for_good = for_good
        self.retry_after_ms = retry_after_ms


class RefusedAddressError(DeliveryError):
    """The address leads where no message of ours may go."""

    def __init__(self, message: str) -> None:
        super().__init__(message, for_good=True)

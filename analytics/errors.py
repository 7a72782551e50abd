"""What can go wrong in the arithmetic.

AnalyticsError
├── ShapeMismatchError        two arrays that must agree in shape do not
└── BadArgumentError          an argument has a value that no answer exists for
"""

__all__ = ["AnalyticsError", "BadArgumentError", "ShapeMismatchError"]


class AnalyticsError(ValueError):
    """Base of everything analytics raises on purpose."""


class ShapeMismatchError(AnalyticsError):
    """Two arrays that must agree in shape do not; the message names both."""


class BadArgumentError(AnalyticsError):
    """An argument has a value that no answer exists for; the message names it and the range."""

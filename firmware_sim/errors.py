"""What the simulator says when it cannot do what was asked.

SimulatorError
├── ScenarioError     a scenario file cannot be used; names file, line, key and remedy
├── TableError        a table to score or to replay cannot be read
└── PublishError      the broker refused, or went away for longer than we wait
"""

__all__ = ["PublishError", "ScenarioError", "SimulatorError", "TableError"]


class SimulatorError(Exception):
    """Base of everything firmware_sim raises on purpose.

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


class ScenarioError(SimulatorError):
    """A scenario file cannot be used.

    Attributes
    ----------
    file : str
    line : int
        From 1; 0 where the trouble has no line of its own.
    key : str
        Dotted, as `city.luminaires`.
    """

    def __init__(
        self, message: str, *, file: str, line: int = 0, key: str = "", remedy: str = ""
    ) -> None:
        place = f"{file}:{line}" if line else file
        super().__init__(f"{place}: {f'{key}: ' if key else ''}{message}", remedy=remedy)
        self.file = file
        self.line = line
        self.key = key


class TableError(SimulatorError):
    """A table to score or to replay cannot be read."""


class PublishError(SimulatorError):
    """The broker refused, or went away for longer than we wait."""

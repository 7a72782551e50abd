"""A round's findings brought into the ledger: incidents, work orders, states, alerts."""

from api.ledger.rounds.applying import apply_round
from api.ledger.rounds.work import DarkHours, Work

__all__ = ["DarkHours", "Work", "apply_round"]

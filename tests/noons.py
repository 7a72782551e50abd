"""Noon rounds over a street of lamps, night by night."""

from analytics.grid import window_start
from analytics.rules import Rules
from api.watch.feature_store import FeatureStore
from api.watch.night_round import NightRound


def after_all_noons(street, source=None):
    """The result of the last noon round; all of them are run."""
    engine = NightRound(street.assets, rules=Rules(), features=FeatureStore())
    source = source or street.store()
    result = None
    for night in range(street.nights):
        result = engine.noon_round(source, window_start(street.first_night + night + 1))
    return result

"""The demo's city has two contractors, so that what a crew may see can be seen."""

from collections import Counter

from api.assets import Asset, AssetKind
from api.demo import in_areas


def test_whole_cabinets_go_north_or_south_and_nothing_is_left_out() -> None:
    stands = [
        Asset(f"d{c}{i}", f"d{c}{i}", cabinet=f"C{c}", lat=56.0 + c / 100 + i / 1000)
        for c in range(4)
        for i in range(3)
    ]
    stands += [Asset("c", "c", AssetKind.COUNTER, site="Torget", lat=56.5), Asset("x", "x")]
    placed = in_areas(stands)
    assert {a.area for a in placed} == {"Norr", "Söder"}
    assert all(len({a.area for a in placed if a.cabinet == f"C{c}"}) == 1 for c in range(4))
    assert Counter(a.area for a in placed)["Norr"] >= 6
    assert next(a.area for a in placed if a.device_id == "c") == "Norr"

"""Dirty inventories: what can be used is used, what cannot is told, unknown stays unknown."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from contracts.lamp_street import NOW_MS, street
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from api.assets import Asset, Supply, Switching
from api.cli import app
from api.errors import BadInputError, NotFoundError
from api.ledger import Ledger, open_ledger
from api.street.assets_import import read_assets
from api.street.assets_registry import write_registry
from api.street.segments import infer_segments, order_along
from ingest.devices import DeviceEntry, Registry

SWEDISH = """Enhet;Stolpnummer;Breddgrad;Längdgrad;Effekt;Belysningscentral;switching;supply
A1;17;56,05;12,69;35,5;K3;astro;mains
A2;;;;okänd;;;
A3;19;56,05;;;;;
A4;19;156,05;12,69;;;;
A5;20;0;0;;;;
;21;56,05;12,69;;;;
A1;22;56,05;12,69;;;;
A7;23;56,05;12,69;mycket;;;
A8;24;56,05;12,69;;;sometimes;
A 9;25;56,05;12,69;;;;
"""


@pytest.fixture
def dirty(tmp_path: Path) -> Path:
    path = tmp_path / "inventering.csv"
    path.write_bytes(SWEDISH.encode("cp1252"))
    return path


def test_each_row_that_cannot_be_used_has_its_line_and_its_reason(dirty: Path) -> None:
    found = read_assets(dirty)
    assert [a.device_id for a in found.assets] == ["A1", "A2"]
    reasons = {r.line: r.reason for r in found.rejected}
    assert reasons == {
        4: "lat and lon belong together",
        5: "lat '156,05' cannot be" if "'" in reasons[5] else "lat 156,05 cannot be",
        6: "lat and lon are both 0: a position nobody wrote down",
        7: "no device_id",
        8: "the same device_id as line 2",
        9: "rated_power_w 'mycket' is no number",
        10: "switching 'sometimes' is none of astro, photocell, own_photocell, feeder, always",
        11: "device_id may hold A-Z a-z 0-9 _ - and 64 characters",
    }


def test_what_is_known_is_read_and_what_is_not_stays_unknown(dirty: Path) -> None:
    one, two = read_assets(dirty).assets
    assert one == Asset(
        "A1",
        "17",
        lat=56.05,
        lon=12.69,
        rated_power_w=35.5,
        cabinet="K3",
        switching=Switching.ASTRO,
        supply=Supply.MAINS,
    )
    assert two == Asset("A2", "A2")


def test_columns_can_be_named_joined_and_chosen(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("nr,typ,väg,del\n1,lampa,E6,2\n2,stolpe,E6,2\n3,lampa,,2\n", encoding="utf-8")
    with pytest.raises(BadInputError, match="--map device_id"):
        read_assets(path)
    found = read_assets(
        path, columns={"device_id": "nr", "segment": "väg+del"}, where={"typ": "lampa"}
    )
    assert [(a.device_id, a.segment) for a in found.assets] == [("1", "E6-2"), ("3", "")]
    assert found.skipped == 1
    assert found.unknown["segment"] == 1


def test_geojson_points_are_assets(tmp_path: Path) -> None:
    features = [
        {
            "type": "Feature",
            "id": "d1",
            "geometry": {"type": "Point", "coordinates": [12.69, 56.05]},
            "properties": {"feeder": "F1"},
        },
        {"type": "Feature", "id": "d2", "geometry": None, "properties": None},
    ]
    path = tmp_path / "x.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    one, two = read_assets(path).assets
    assert (one.lat, one.lon, one.feeder) == (56.05, 12.69, "F1")
    assert (two.device_id, two.lat) == ("d2", None)
    path.write_text("{}")
    with pytest.raises(BadInputError, match="no GeoJSON"):
        read_assets(path)


def test_a_straight_street_is_ordered_from_west_to_east_whatever_the_files_order() -> None:
    rng = np.random.default_rng(1)
    at = np.column_stack([np.arange(30) * 30.0, rng.normal(0, 2, 30)])
    shuffle = rng.permutation(30)
    ((*path,),) = order_along(at[shuffle])
    assert [int(shuffle[i]) for i in path] == list(range(30))


def test_lamps_on_both_sides_of_a_street_are_one_way() -> None:
    north = [(x * 40.0, 8.0) for x in range(10)]
    south = [(x * 40.0 + 20.0, -8.0) for x in range(10)]
    (path,) = order_along(np.array(north + south))
    along = [(north + south)[i][0] for i in path]
    assert along == sorted(along)


def test_a_side_street_and_a_far_part_are_ways_of_their_own() -> None:
    street_at = [(x * 30.0, 0.0) for x in range(12)]
    side = [(150.0, 30.0 * y) for y in range(1, 5)]
    far = [(5000.0 + x * 30.0, 0.0) for x in range(3)]
    paths = order_along(np.array(street_at + side + far))
    assert sorted(len(p) for p in paths) == [3, 4, 12]


@given(
    points=st.lists(
        st.tuples(st.floats(-500, 500, width=32), st.floats(-500, 500, width=32)), max_size=25
    )
)
def test_every_lamp_gets_exactly_one_place(points: list[tuple[float, float]]) -> None:
    paths = order_along(np.array(points, np.float64).reshape(-1, 2))
    assert sorted(i for path in paths for i in path) == list(range(len(points)))


def test_orders_that_are_given_are_left_alone_and_the_rest_is_told() -> None:
    given_order = street(5)
    loose = [Asset("x", "x", segment="A"), Asset("y", "y", lat=56.0, lon=12.0)]
    found = infer_segments([*given_order, *loose])
    assert found.assets[:5] == given_order
    assert (found.ordered, found.unordered) == (0, ["x", "y"])


@pytest.mark.data
def test_a_real_inventory_is_read_and_put_in_order(data_dir: Path) -> None:
    """Order along the road is known there (metres from the link's start), so it can be checked."""
    path = data_dir / "lamps" / "norway_lillehammer.parquet"
    found = read_assets(
        path,
        where={"type": "Lysarmatur"},
        columns={"segment": "vegkategori+vegnummer+hovedparsell"},
    )
    assert (len(found.assets), found.skipped, found.rejected) == (2477, 1546, [])
    assert found.unknown["rated_power_w"] == 656
    assert sum(a.rated_power_w is None for a in found.assets) == 656
    ordered = infer_segments(found.assets)
    sizes = Counter(a.segment for a in ordered.assets)
    assert (ordered.ordered, ordered.unordered) == (2477, [])
    assert sum(n == 1 for n in sizes.values()) < 30
    rows = {row["lokalId"]: row for row in pq.read_table(path).to_pylist()}
    by_segment: dict[str, list[Asset]] = defaultdict(list)
    by_link: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for asset in ordered.assets:
        by_segment[asset.segment].append(asset)
        row = rows[asset.device_id]
        if row["roadlink"] and row["veglenkeMeterFra"]:
            by_link[row["roadlink"]].append((float(row["veglenkeMeterFra"]), asset.device_id))
    neighbours: set[frozenset[str]] = set()
    for stands in by_segment.values():
        stands.sort(key=lambda a: a.segment_order or 0)
        neighbours |= {frozenset((a.device_id, b.device_id)) for a, b in pairwise(stands)}
    true_pairs = [
        frozenset((a, b))
        for at in by_link.values()
        for (m, a), (n, b) in zip(sorted(at), sorted(at)[1:], strict=False)
        if m != n
    ]
    share = sum(pair in neighbours for pair in true_pairs) / len(true_pairs)
    print(f"{share:.3f} of {len(true_pairs)} neighbouring pairs, {len(sizes)} segments")
    assert share > 0.7


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path / "ops.db") as opened:
        opened.put_assets(street(5), now_ms=NOW_MS)
        yield opened


def test_importing_again_is_a_diff(ledger: Ledger) -> None:
    moved = Asset("d1", "L99", site="new")
    diff = ledger.asset_diff([moved, *street(3, first=2), Asset("d9", "L9")], whole=True)
    assert (diff.added, diff.removed, diff.same) == (("d9",), ("d5",), 3)
    assert ("luminaire_id", "L1", "L99") in diff.changed[0].fields
    assert ledger.asset("d1").luminaire_id == "L1", "a diff writes nothing"
    version = ledger.registry_version()
    ledger.put_assets([moved], now_ms=NOW_MS + 5)
    assert ledger.registry_version() == version + 1
    assert ledger.put_assets([moved], now_ms=NOW_MS + 6).empty
    assert ledger.registry_version() == version + 1
    history = ledger.device_history(device_id="d1")
    assert [(h.luminaire_id, h.from_ms, h.until_ms) for h in history] == [
        ("L1", NOW_MS, NOW_MS + 5),
        ("L99", NOW_MS + 5, None),
    ]


def test_an_order_can_be_set_by_hand(ledger: Ledger) -> None:
    ledger.set_segment_order("S0", ["L3", "L1", "L2"], now_ms=NOW_MS)
    orders = {a.luminaire_id: (a.segment, a.segment_order) for a in ledger.assets()}
    assert orders["L3"] == ("S0", 1)
    assert orders["L4"] == ("", None)
    with pytest.raises(BadInputError, match="twice"):
        ledger.set_segment_order("S0", ["L1", "L1"], now_ms=NOW_MS)
    with pytest.raises(NotFoundError):
        ledger.set_segment_order("S0", ["L77"], now_ms=NOW_MS)


def test_ingest_learns_of_assets_and_keeps_what_only_it_knows(tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    Registry([DeviceEntry("d1", codec="nas"), DeviceEntry("gone")], enrol=True).save(path)
    mute = write_registry([Asset("d1", "L1", interval_s=600.0), Asset("å ä", "L2")], path)
    found = Registry.load(path)
    assert mute == ["å ä"]
    assert (found.version, found.enrol) == (1, True)
    entry = found.get("d1")
    assert entry is not None
    assert (entry.codec, entry.interval_s) == ("nas", 600.0)
    assert found.get("gone") is None
    write_registry([Asset("d1", "L1", interval_s=600.0)], path)
    assert Registry.load(path).version == 1, "nothing changed, nothing is written"


@pytest.mark.usefixtures("clean_environment")
def test_the_command_shows_what_would_change_and_writes_only_when_told(
    dirty: Path, tmp_path: Path
) -> None:
    runner = CliRunner()
    base = ["import", "assets", str(dirty), "--data", str(tmp_path / "data"), "--json"]
    looked = json.loads(runner.invoke(app, base, catch_exceptions=False).stdout)
    assert (looked["applied"], looked["added"], len(looked["rejected"])) == (False, 2, 8)
    assert json.loads(runner.invoke(app, base).stdout)["added"] == 2, "nothing was written"
    assert json.loads(runner.invoke(app, [*base, "--apply"]).stdout)["added"] == 2
    assert json.loads(runner.invoke(app, base).stdout)["same"] == 2
    assert Registry.load(tmp_path / "data" / "registry.json").get("A1") is not None
    with open_ledger(tmp_path / "data" / "ops.db") as ledger:
        (written,) = ledger.audit_entries()
    assert (written.action, written.subject) == ("assets_imported", dirty.name)
    assert written.details == {"added": 2, "same": 0, "changed": 0, "removed": 0}


@pytest.mark.usefixtures("clean_environment")
def test_users_and_keys_are_made_at_the_command_line(tmp_path: Path) -> None:
    runner = CliRunner()
    data = ["--data", str(tmp_path), "--json"]
    made = json.loads(runner.invoke(app, ["keys", "create", "x", "--role", "tester", *data]).stdout)
    link = json.loads(runner.invoke(app, ["users", "add", "li", "--role", "admin", *data]).stdout)
    with open_ledger(tmp_path / "ops.db") as ledger:
        key = ledger.key_of(made["key"], now_ms=NOW_MS)
        assert key is not None
        assert key.roles == {"tester"}
        assert len(link["link"]) >= 43
        assert [e.action for e in ledger.audit_entries()] == [
            "link_made", "user_created", "key_created",
        ]  # fmt: skip
    listed = json.loads(runner.invoke(app, ["keys", "list", *data]).stdout)["items"]
    assert made["key"] not in json.dumps(listed)
    tried = runner.invoke(app, ["policy", "what-if", "helsingborg", "malmo", *data])
    assert json.loads(tried.stdout)["items"][1]["policy"] == "malmo"

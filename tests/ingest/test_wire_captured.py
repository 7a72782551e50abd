"""Messages as real network servers sent them."""

import base64
import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingest.devices import CodecRule, Registry
from ingest.errors import MalformedPayloadError
from ingest.reading import Decoded, Quantity
from ingest.wire import decode
from ingest.wire.codecs import Value, codec

pytestmark = pytest.mark.data
REGISTRY = Registry(enrol=True, rules=[CodecRule("*", "elsys")])


def by_quantity(decoded: Decoded) -> dict[Quantity, float]:
    return {series.quantity: series.value[0] for series in decoded.series}


def test_a_luminaire_controller_through_chirpstack_v3_says_what_its_vendor_reads(
    data_dir: Path,
) -> None:
    payload = (data_dir / "payload_samples" / "chirpstack_v3_nas_lcu_captured.json").read_bytes()
    envelope = json.loads(payload)["payload"]
    vendor = json.loads(envelope["objectJSON"])["data"]
    dev_eui = base64.b64decode(envelope["devEUI"]).hex()
    decoded = decode(f"application/430/device/{dev_eui}/event/up", payload, REGISTRY)
    [source] = vendor["dimming_source"]
    assert by_quantity(decoded) == {
        Quantity.TEMPERATURE: vendor["mcu_temperature__C"],
        Quantity.DIMMING: source["dimming_level__percent"],
        Quantity.LAMP_STATUS: 0,
    }
    assert source["status"]["lamp_failure"] is False
    assert vendor["device_unix_epoch"] == "2024-07-01T13:43:42.000Z"
    assert {series.time_ms[0] for series in decoded.series} == {1_719_841_422_000}
    assert decoded.network_ms == 1_719_841_426_875
    assert decoded.frame is not None
    assert (decoded.frame.device_id, decoded.frame.frame_counter) == (dev_eui.upper(), 3)


def test_three_hundred_elsys_uplinks_through_helium_say_what_the_network_read(
    data_dir: Path,
) -> None:
    path = data_dir / "payload_samples" / "helium_elsys_ems_300_captured.ndjson"
    lines = path.read_bytes().splitlines()
    assert len(lines) == 300
    for line in lines:
        envelope = json.loads(line)
        decoded = decode(f"helium/{envelope['dev_eui'].lower()}/rx", line, REGISTRY)
        theirs = envelope["decoded"]["payload"]
        ours = by_quantity(decoded)
        assert decoded.network_ms == envelope["reported_at"]
        for quantity, name, steps in [
            (Quantity.TEMPERATURE, "temperature", 1),
            (Quantity.HUMIDITY, "humidity", 1),
            (Quantity.BATTERY_VOLTAGE, "vdd", 1000),
        ]:
            expected = theirs.get(name)
            assert ours.get(quantity) == (None if expected is None else expected / steps)


def test_other_devices_frames_are_put_aside_and_their_battery_reports_known(
    data_dir: Path,
) -> None:
    path = data_dir / "payload_samples" / "chirpstack_v3_wyres_300_captured.ndjson"
    outcome: Counter[str] = Counter()
    for line in path.read_bytes().splitlines():
        envelope = json.loads(line)
        complaint = ""
        try:
            decode(
                f"application/1/device/{envelope['devEUI']}/event/up", line, Registry(enrol=True)
            )
        except MalformedPayloadError as error:
            complaint = f"{error.reason}: {error.detail}"
        outcome[complaint.split(":")[0]] += 1
        assert envelope.get("data", "") in complaint  # hexadecimal, as recorded
    assert outcome == {"unknown_codec": 288, "": 12}


@pytest.mark.parametrize(
    ("name", "kind"),
    [(f"chirpstack_v4_{kind}", kind) for kind in
     ("status", "join", "ack", "txack", "log", "location", "integration")],
)  # fmt: skip
def test_the_documentations_events_of_chirpstack_v4_are_known(
    data_dir: Path, name: str, kind: str
) -> None:
    payload = (data_dir / "payload_samples" / f"{name}.json").read_bytes()
    dev_eui = json.loads(payload)["deviceInfo"]["devEui"]
    decoded = decode(f"application/1/device/{dev_eui}/event/{kind}", payload, REGISTRY)
    assert [series.value for series in decoded.series] == ([[88.3]] if kind == "status" else [])
    assert decoded.network_ms is not None


@pytest.mark.slow
def test_thirteen_thousand_elsys_uplinks_say_what_the_network_read(data_dir: Path) -> None:
    path = data_dir / "lorawan" / "elsys_ems_tourperret_first_half.parquet"
    rows = pq.read_table(path).to_pylist()
    assert len(rows) == 13_332
    compared = 0
    for row in rows:
        payload = base64.b64decode(row["payload_b64"])
        found = codec("elsys").decode(payload, row["fport"], model=None)
        ours = {v.quantity: v.value for v in found if isinstance(v, Value)}
        for quantity, name, steps in [
            (Quantity.TEMPERATURE, "temp_c", 1),
            (Quantity.HUMIDITY, "rh_pct", 1),
            (Quantity.BATTERY_VOLTAGE, "vdd_mv", 1000),
        ]:
            if row[name] is not None and quantity in ours:
                compared += 1
                assert ours[quantity] == pytest.approx(row[name] / steps)
    assert compared > 13_000

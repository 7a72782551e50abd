"""docs/wire.md and docs/formats.md say what the code does."""

import json
import re
from pathlib import Path

import pytest

from ingest.devices import DeviceEntry, Registry
from ingest.errors import Reason
from ingest.plausibility import Clocks, judge
from ingest.reading import QUANTITIES, Flag
from ingest.topics import FILTERS, Format, route
from ingest.wire import codecs, decode
from ingest.wire.talq import EVENTS

DOCS = Path(__file__).parents[2] / "docs"
WIRE = (DOCS / "wire.md").read_text("utf-8")
FORMATS = (DOCS / "formats.md").read_text("utf-8")


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without backquotes."""
    part = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    rows: list[list[str]] = []
    for line in part.splitlines():
        if line.startswith("|"):
            rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


def messages() -> list[tuple[str, str]]:
    """Kind of topic and payload of every example in the page."""
    found = []
    for part in re.split(r"^### ", WIRE, flags=re.MULTILINE):
        blocks = re.findall(r"```json\n(.*?)```", part, flags=re.DOTALL)
        kind = re.search(r"Topic kind: (?:a )?`?(\w+)`?", part)
        if blocks and kind:
            name = "illuminance_lx" if kind[1] == "quantity" else kind[1]
            found += [(name, block) for block in blocks]
    return found


@pytest.mark.parametrize(("kind", "payload"), messages())
def test_every_example_on_the_page_is_read(kind: str, payload: str) -> None:
    registry = Registry([DeviceEntry("lamp-1")])
    decoded = decode(f"ljusvakt/v1/g/lamp-1/{kind}", payload.encode(), registry)
    judge(decoded, received_ms=1_790_000_700_000, registry=registry, clocks=Clocks())
    rows = [value for series in decoded.series for value in series.value]
    assert (
        rows
        == {
            "illuminance_lx": [21.4] if '"v": 21.4' in payload else [21.4, 21.6],
            "readings": [21.4, 21.6, 31.2],
            "events": [],
        }[kind]
    )
    assert [event.event for event in decoded.events] == ["lamp_failure"] * (kind == "events")


def test_the_page_has_an_example_of_each_native_shape() -> None:
    assert [kind for kind, _ in messages()] == [
        *["illuminance_lx"] * 2,
        "readings",
        "events",
    ]
    assert len(re.findall("```json", WIRE)) == len(messages())


def test_every_topic_on_the_page_is_ours_and_the_filters_cover_it() -> None:
    formats = set()
    for topic, direction, _ in table(WIRE, "Topics"):
        example = topic
        for place, word in {
            "<group>": "g",
            "<device>": "lamp-1",
            "<quantity>": "power_w",
            "<application>": "7",
            "@<tenant>": "@city",
            "<devEUI>": "a81758fffe0a0b0c",
            "<kind>": "status",
        }.items():
            example = example.replace(place, word)
        formats.add(route(example).format)
        levels = example.split("/")
        assert direction == "us → device" or any(
            len(levels) == len(pattern.split("/"))
            and all(p in {"+", level} for p, level in zip(pattern.split("/"), levels, strict=True))
            for pattern in FILTERS
        )
    assert formats == set(Format)
    for pattern in FILTERS:
        assert f"`{pattern}`" in WIRE


def test_every_reason_of_a_decoder_is_explained() -> None:
    later = {Reason.STORE_REFUSED, Reason.DECODER_ERROR, Reason.PERSONAL_DATA}
    listed = {row[0] for row in table(WIRE, "What happens to a message")}
    assert listed == {str(reason) for reason in set(Reason) - later}


def test_every_codec_family_is_listed() -> None:
    listed = {row[0]: row[2] for row in table(WIRE, "Payload codecs")}
    assert set(listed) == set(codecs.FAMILIES)
    quantities = {q.value for q in QUANTITIES}
    for readings in listed.values():
        assert set(re.findall(r"`(\w+)`?", f"`{readings}`")) <= quantities


def test_the_table_of_quantities_is_the_closed_list() -> None:
    def number(text: str) -> float:
        return 2.0**53 if text == "2^53" else float(text or "inf")

    rows = {row[0]: row[1:] for row in table(FORMATS, "Quantities")}
    assert list(rows) == [quantity.value for quantity in QUANTITIES]
    for quantity, spec in QUANTITIES.items():
        unit, kept, lowest, highest, suspect, unknown, what = rows[quantity.value]
        assert (unit, kept) == (spec.unit, spec.archive_type)
        assert (number(lowest), number(highest)) == (spec.lowest, spec.highest)
        assert number(suspect) == spec.suspect_above
        assert {float(s) for s in unknown.split(",") if s} == spec.sentinels
        assert what


def test_the_table_of_flags_is_the_bit_field() -> None:
    rows = {int(bit): (name, meaning) for bit, name, meaning in table(FORMATS, "Flags")}
    assert {bit: name for bit, (name, _) in rows.items()} == {
        flag.value: str(flag.name).lower() for flag in Flag if flag.value
    }
    assert all(meaning for _, meaning in rows.values())


def test_the_list_of_events_is_the_closed_list() -> None:
    part = FORMATS.split("### Event names")[1].split("\n## ")[0]
    assert re.findall(r"^- `(\w+)`$", part, flags=re.MULTILINE) == sorted(EVENTS)


def test_examples_hold_only_keys_the_page_explains() -> None:
    keys = {key for _, payload in messages() for key in json.loads(payload)}
    assert {key for key in keys if f"`{key}`" not in WIRE} <= {"q", "e", "v"}

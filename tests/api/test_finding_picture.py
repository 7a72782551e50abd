"""The picture of a finding says in five seconds what happened."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from street_of_lamps import Street

from analytics.findings import CauseKind, FindingKind, Severity
from analytics.grid import DAY_MS
from api.findings import NamedFinding
from api.watch.finding_picture import finding_picture
from ingest.reading import Quantity
from ingest.stores.memory import MemoryStore

SVG = "{http://www.w3.org/2000/svg}"


def finding(street, kind, day, hour=0.0, row=2):
    name = street.assets[row].device_id
    return NamedFinding(
        kind=kind,
        device_id=name,
        luminaire_id=name,
        incident="i",
        cause_kind=CauseKind.LUMINAIRE,
        cause_id=name,
        start_ms=street.moment(day, hour),
        end_ms=None,
        raised_ms=street.moment(day + 1),
        severity=Severity.MAJOR,
        confidence=0.9,
        note="Dark & <cold>.",
    )


def drawn(street, kind, day, hour=0.0, *, language="sv", now=None, store=None, asset=None):
    text = finding_picture(
        finding(street, kind, day, hour),
        store or street.store(),
        asset or street.assets[2],
        peers=street.assets[3:6],
        now_ms=street.moment(now if now is not None else street.nights),
        language=language,
    )
    return text, [t.text for t in tree(text).iter(f"{SVG}text")]


def tree(text):
    return ET.fromstring(text)  # noqa: S314 - reads what this program drew


@pytest.mark.parametrize("language", ["sv", "en", "de"])
@pytest.mark.parametrize("kind", list(FindingKind))
def test_every_kind_is_drawn_in_every_language(kind, language):
    text, words = drawn(Street(nights=4), kind, 2, 9, language=language)
    root = tree(text)
    assert root.find(f"{SVG}desc").text == "Dark & <cold>."
    assert words
    assert not [w for w in words if "{" in w]
    assert "<script" not in text
    assert "nan" not in text


def test_a_dark_lamp_says_what_it_gives_and_what_it_should():
    street = Street(nights=4)
    street.lit[2, street.at(2, 9) :] = 0
    sv, words = drawn(street, FindingKind.LAMP_FAILURE, 2, 9, now=3.5)
    assert "nu 4,0 lx, väntat 20 lx" in words
    assert "Armaturen är släckt: L0-02" in words
    assert any(w.startswith("började 26/9 23:00") for w in words)
    _, words = drawn(street, FindingKind.LAMP_FAILURE, 2, 9, now=3.5, language="en")
    assert "now 4.0 lx, expected 20 lx" in words
    # What is missing is red, and there was nothing missing before.
    first = re.search(r'd="M([\d.]+) [^"]*" fill="#c01818"', sv)
    onset = re.search(r'd="M([\d.]+) 34V', sv)
    assert abs(float(first[1]) - float(onset[1])) < 3


def test_a_healthy_lamp_has_nothing_red_but_the_moment():
    sv, _ = drawn(Street(nights=4), FindingKind.LAMP_FAILURE, 2, 9, now=3.5)
    assert 'fill-opacity="0.25"' not in sv


def test_light_is_expected_by_night_and_less_where_it_is_dimmed():
    street = Street(nights=4)
    plain, _ = drawn(street, FindingKind.CYCLING_FAILURE, 2, 9)
    dimmed, _ = drawn(
        street,
        FindingKind.CYCLING_FAILURE,
        2,
        9,
        asset=replace(street.assets[2], dimming="23:00-05:00@40"),
    )

    def bands(text):
        return len(re.findall(r'fill="#ffd24d" fill-opacity="0.6"', text))

    assert 3 <= bands(plain) <= 5  # a night each, none by day
    assert bands(dimmed) > 2 * bands(plain)


def test_a_slow_fault_is_drawn_night_by_night_over_weeks():
    street = Street(nights=30, sky_share=0.05)
    fall = np.exp(-0.02 * np.maximum(street.time_ms - street.moment(12), 0) / DAY_MS)
    street.lit[2] *= fall
    text, words = drawn(street, FindingKind.DEPRECIATION, 22)
    assert [w for w in words if w.endswith("% kvar")] == ["78 % kvar"]  # 16 of 20 lx are its own
    assert len(re.findall("<circle", text)) >= 28


def test_a_light_that_was_dark_from_the_first_has_no_share_to_draw():
    street = Street(nights=30, sky_share=0.0)
    street.held[2, : street.at(10)] = 0  # lamps beside it light it a little otherwise
    _, words = drawn(street, FindingKind.DEPRECIATION, 22)
    assert "Inga mätvärden i fönstret" in words


def test_nothing_measured_is_said():
    street = Street(nights=4)
    street.heard[2] = False
    _, words = drawn(street, FindingKind.COMMUNICATION_FAILURE, 1)
    assert "Inga mätvärden i fönstret" in words


def test_only_the_luminaire_and_its_peers_are_read():
    street = Street(feeders=4, nights=4)
    asked = []

    class Watched(MemoryStore):
        def columns(self, quantity, *, start_ms, stop_ms, devices=None):
            asked.append(devices)
            return super().columns(quantity, start_ms=start_ms, stop_ms=stop_ms, devices=devices)

    store = Watched()
    lux = street.store().columns(Quantity.ILLUMINANCE, start_ms=0, stop_ms=2**60)
    store.add(Quantity.ILLUMINANCE, lux)
    drawn(street, FindingKind.LAMP_FAILURE, 2, 9, store=store)
    assert asked == [["L0-02"], ["L0-03", "L0-04", "L0-05"]]


def test_a_clock_that_is_two_hours_wrong_is_put_right_in_the_picture_too():
    street = Street(nights=4)
    right = street.store()
    wrong = MemoryStore()
    lux = right.columns(Quantity.ILLUMINANCE, start_ms=0, stop_ms=2**60)
    own = lux.device == 2
    wrong.add(
        Quantity.ILLUMINANCE,
        replace(lux, time_ms=np.where(own, lux.time_ms + 7_200_000, lux.time_ms)),
    )

    def line(store):
        text, _ = drawn(street, FindingKind.CYCLING_FAILURE, 2, 0, store=store, now=3.5)
        return re.findall(r'points="([^"]*)"[^>]*stroke="#0b4f9e"', text)[0].split()

    shared = set(line(right)) & set(line(wrong))
    assert len(shared) > 0.9 * len(line(right)) - 14

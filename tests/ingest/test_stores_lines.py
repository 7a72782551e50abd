import numpy as np
import pytest
from contracts.series_store import columns_of, rows_of
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.errors import UnwritableError
from ingest.reading import QUANTITIES, Quantity
from ingest.stores import StoredEvent
from ingest.stores.lines import (
    WHOLE_QUANTITIES,
    event_line,
    parse_event,
    parse_reading,
    reading_lines,
    together,
)

int64 = st.integers(-(2**63), 2**63 - 1)
device_ids = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
quantities = st.sampled_from(list(Quantity))


@st.composite
def readings(draw):
    quantity = draw(quantities)
    spec = QUANTITIES[quantity]
    if quantity in WHOLE_QUANTITIES:
        value = float(draw(st.integers(-(2**24), 2**24)))
    elif spec.archive_type == "float32":
        value = draw(st.floats(allow_nan=False, allow_infinity=False, width=32))
    else:
        value = draw(st.floats(allow_nan=False, allow_infinity=False))
    row = (draw(device_ids), draw(int64), value, draw(int64), draw(st.integers(0, 255)))
    return quantity, row


@given(readings())
def test_a07_a_reading_is_exactly_one_line_from_which_it_can_be_read(reading) -> None:
    quantity, row = reading
    (line,) = reading_lines(quantity, columns_of([row]))
    assert "\n" not in line
    back, columns = parse_reading(line)
    assert (back, rows_of(columns)) == (quantity, [row])


printable = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=40)
texts = printable | st.text(st.sampled_from('\\", =a\u00e5'), max_size=12)


@given(
    st.builds(
        StoredEvent,
        device_id=device_ids,
        time_ms=int64,
        received_ms=int64,
        event=st.from_regex(r"[a-z0-9_]{1,64}", fullmatch=True),
        active=st.none() | st.booleans(),
        info=texts,
        flags=st.integers(0, 255),
    )
)
def test_a07_a_fault_report_is_exactly_one_line_from_which_it_can_be_read(event) -> None:
    line = event_line(event)
    assert len(line.encode().split(b"\n")) == 1
    assert parse_event(line) == event


@pytest.mark.parametrize(
    "device_id", ["", "a b", "a,b", "a=b", "a\\", "x\nlux,device=evil lux=1", "a\n", "å", "a" * 65]
)
def test_a07_line_protocol_injection_by_a_device_id_is_refused(device_id) -> None:
    with pytest.raises(UnwritableError):
        reading_lines(Quantity.POWER, columns_of([(device_id, 1, 1.0, 1, 0)]))
    with pytest.raises(UnwritableError):
        event_line(StoredEvent(device_id, 1, 1, "lamp_failure", True, ""))


@pytest.mark.parametrize("name", ["", "Lamp", "lamp failure", "lamp,x=1", "lamp\nx"])
def test_a07_line_protocol_injection_by_an_event_name_is_refused(name) -> None:
    with pytest.raises(UnwritableError):
        event_line(StoredEvent("L-1", 1, 1, name, True, ""))


@pytest.mark.parametrize("info", ["a\nb", "a\x00", "\u2028", "\ud800", "\x85"])
def test_a07_text_that_would_not_stay_on_its_line_is_refused(info) -> None:
    with pytest.raises(UnwritableError):
        event_line(StoredEvent("L-1", 1, 1, "lamp_failure", True, info))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_line_protocol_has_no_word_for_is_refused(value) -> None:
    with pytest.raises(UnwritableError):
        reading_lines(Quantity.POWER, columns_of([("L-1", 1, value, 1, 0)]))


def test_half_a_person_is_refused_because_counts_are_integers() -> None:
    with pytest.raises(UnwritableError, match="not whole"):
        reading_lines(Quantity.PEOPLE_IN, columns_of([("F-1", 1, 0.5, 1, 0)]))


def test_lines_look_as_the_operators_guide_shows_them() -> None:
    columns = columns_of([("HBG-L-01234", 1760000412345, 23.4, 1760000413020, 0)])
    (line,) = reading_lines(Quantity.ILLUMINANCE, columns)
    assert line == (
        "illuminance_lx,device=HBG-L-01234 value=23.4,received_ms=1760000413020i,flags=0i "
        "1760000412345"
    )
    assert reading_lines(Quantity.LAMP_STATUS, columns_of([("L-1", 5, 128.0, 6, 1)])) == [
        "lamp_status,device=L-1 value=128i,received_ms=6i,flags=1i 5"
    ]


READING = "illuminance_lx,device=L-1 value=23.4,received_ms=17i,flags=3i 16"
COUNT = "people_in,device=F-1 value=12i,received_ms=17i,flags=0i 16"
REPORT = str(event_line(StoredEvent("L-1", 16, 17, "lamp_failure", True, 'a "b"', 2)))
damage = (
    st.text(max_size=3)
    | st.text(st.sampled_from('0123456789-.eif_na\\", ='), max_size=20)
    | st.sampled_from(["nan", "inf", "1e300", "1_0", "99999999999999999999i", "256i", "-0"])
)


@st.composite
def damaged_lines(draw):
    """A line of ours with a stretch of it, usually short, written over with something else."""
    line = draw(st.sampled_from([READING, COUNT, REPORT]))
    start = draw(st.integers(0, len(line)))
    stop = min(len(line), start + draw(st.integers(0, 6)))
    return line[:start] + draw(damage) + line[stop:]


def written_again(text) -> str | None:
    """What the reader makes of a text, as the writer writes it; None where it takes it for none."""
    for read, write in (
        (parse_reading, lambda found: together(reading_lines(*found)).decode()),
        (parse_event, event_line),
    ):
        try:
            found = read(text)
        except UnwritableError:
            continue
        return str(write(found))
    return None


@settings(max_examples=400)
@given(
    damaged_lines()
    | st.text(max_size=80)
    | st.binary(max_size=80).map(lambda b: b.decode("latin-1"))
)
@example(READING)
@example(COUNT)
@example(REPORT)
@example(READING.replace("23.4", "nan"))
@example(READING.replace("23.4", "1e300"))
@example(REPORT.replace("17i", "99999999999999999999i"))
@example(REPORT.replace("flags=2i", "flags=256i"))
def test_a_text_is_a_line_the_writer_writes_or_refused_by_the_readers_own_error(text) -> None:
    assert written_again(text) in {text, None}


@pytest.mark.parametrize("line", [READING, COUNT, REPORT])
def test_our_own_lines_are_read(line) -> None:
    assert written_again(line) == line


@pytest.mark.parametrize(
    "line",
    [
        "illuminance_lx,device=L-1 value=x,received_ms=1i,flags=0i 1",
        "illuminance_lx,device=L-1 value=1.0,received_ms=1,flags=0i 1",
        "illuminance_lx,device=L-1 value=1.0,flags=0i 1",
        "illuminance_lx,device=L-1 value=1.0,received_ms=1i,flags=300i 1",
        "lux,device=L-1 value=1.0,received_ms=1i,flags=0i 1",
        "people_in,device=L-1 value=1.0,received_ms=1i,flags=0i 1",
        "illuminance_lx,device=L-1 value=1.0,received_ms=1i,flags=0i 9999999999999999999",
    ],
)
def test_lines_of_others_are_not_taken_for_ours(line) -> None:
    with pytest.raises(UnwritableError):
        parse_reading(line)


def test_a_body_with_an_empty_point_is_refused() -> None:
    assert together(["a b=1 1", "c b=1 1"]) == b"a b=1 1\nc b=1 1"
    with pytest.raises(UnwritableError):
        together(["a b=1 1", ""])

"""People past the counters: hours, weekdays, holidays, scatter, and counters that break."""

import csv
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from analytics.count_quality import one_direction_lost
from firmware_sim.city import Counter, build_plan
from firmware_sim.feed import write_feed
from firmware_sim.footfall import count_rows, expected_per_hour, negative_binomial
from firmware_sim.recording import moment_ms
from firmware_sim.scenario import City, Footfall, Nuisances, Run, Scenario
from firmware_sim.sky import DAY_MS
from firmware_sim.streams import generator

HOUR_MS = 3_600_000
NO_LOSS = Nuisances(loss=0)


def scenario(
    walk: Footfall | None = None, start: date = date(2026, 11, 2), days: int = 28
) -> Scenario:
    return Scenario(
        scenario=Run(start=start, days=days),
        city=City(luminaires=150, counters=30),
        nuisances=NO_LOSS,
        footfall=walk or Footfall(events_per_month=0),
    )


def counters(of: Scenario) -> tuple[Counter, ...]:
    return build_plan(of).counters


@pytest.mark.parametrize(
    ("mean", "dispersion"), [(0.3, 5.0), (4.0, 12.0), (20.0, 12.0), (80.0, 8.0)]
)
def test_counts_scatter_as_a_negative_binomial(mean: float, dispersion: float) -> None:
    rng = generator(1, "nb")
    n = 200_000
    counts = negative_binomial(rng.random(n), rng.standard_normal(n), np.full(n, mean), dispersion)

    assert counts.mean() == pytest.approx(mean, rel=0.03)
    assert counts.var() == pytest.approx(mean + mean**2 / dispersion, rel=0.1)
    assert (counts >= 0).all()
    assert (counts == np.floor(counts)).all()


def test_commuters_come_on_workdays_and_shoppers_on_saturdays() -> None:
    city = scenario()
    hours = city.start_ms + np.arange(28 * 24) * HOUR_MS + HOUR_MS // 2
    weekday = (np.arange(28 * 24) // 24) % 7
    by_profile = {c.profile: c for c in counters(city)}
    commuting = expected_per_hour(city, by_profile["commuting"], hours)
    local_hour = (np.arange(28 * 24) + 1) % 24  # winter time

    workday_morning = commuting[(weekday < 5) & (local_hour == 7)].mean()
    assert workday_morning > 4 * commuting[(weekday == 6) & (local_hour == 7)].mean()
    assert workday_morning > 20 * commuting[(weekday < 5) & (local_hour == 3)].mean()
    shopping = by_profile.get("shopping")
    if shopping is not None:
        rate = expected_per_hour(city, shopping, hours)
        assert (
            rate[(weekday == 5) & (local_hour == 13)].mean()
            > rate[(weekday == 6) & (local_hour == 13)].mean()
        )


def test_a_holiday_on_a_weekday_looks_like_a_sunday() -> None:
    # 6 January 2027 is a Wednesday.
    city = scenario(start=date(2027, 1, 4), days=14)
    commuting = next(c for c in counters(city) if c.profile == "commuting")
    hours = city.start_ms + np.arange(14 * 24) * HOUR_MS + HOUR_MS // 2
    morning = expected_per_hour(city, commuting, hours)[6::24]

    assert morning[2] < 0.4 * morning[9]


def test_walks_follow_the_clock_on_the_wall_over_the_end_of_summer_time() -> None:
    city = scenario(start=date(2026, 10, 19), days=14)
    commuting = next(c for c in counters(city) if c.profile == "commuting")
    minutes = city.start_ms + np.arange(14 * 96) * 900_000
    rate = expected_per_hour(city, commuting, minutes).reshape(14, 96)
    peak = rate[:, : 12 * 4].argmax(1) / 4

    # Monday before: 7:45 local is 5:45 UTC; Monday after: 6:45 UTC.
    assert peak[7] - peak[0] == pytest.approx(1, abs=0.26)


def test_a_crowd_is_more_people_for_some_hours() -> None:
    calm, busy = (scenario(Footfall(events_per_month=n)) for n in (0.0, 20.0))
    hours = calm.start_ms + np.arange(28 * 24) * HOUR_MS
    counter = counters(calm)[0]
    ratio = expected_per_hour(busy, counter, hours) / expected_per_hour(calm, counter, hours)

    assert set(np.round(ratio, 6)) == {1.0, 2.5}
    assert 0.02 < (ratio > 2).mean() < 0.3


def test_both_directions_are_counted_and_add_up_to_the_walk() -> None:
    city = scenario()
    rows = count_rows(city, counters(city), city.start_ms // DAY_MS, 28)
    share = rows.inwards.sum() / (rows.inwards + rows.outwards).sum()

    assert len(rows.time_ms) == 30 * 28 * 144
    assert 0.4 < share < 0.6
    assert (rows.inwards >= 0).all()
    assert (rows.outwards >= 0).all()
    assert (np.diff(rows.received_ms) >= 0).all()
    assert (rows.received_ms > rows.time_ms).all()


def test_a_day_of_counts_alone_is_the_day_within_the_month() -> None:
    city = scenario()
    first = city.start_ms // DAY_MS
    month = count_rows(city, counters(city), first, 10)
    day = count_rows(city, counters(city), first + 4, 1)
    begin = (first + 4) * DAY_MS
    within = (month.true_ms > begin) & (month.true_ms <= begin + DAY_MS)

    np.testing.assert_array_equal(month.inwards[within], day.inwards)
    np.testing.assert_array_equal(month.counter[within], day.counter)


@pytest.mark.parametrize("kind", ["dead", "stuck", "one_direction"])
def test_a_counter_breaks_during_the_run(kind: str) -> None:
    city = scenario(Footfall(events_per_month=0, **{kind: 1.0}))
    rows = count_rows(city, counters(city), city.start_ms // DAY_MS, 28)
    mine = rows.counter == 3
    end = mine & (rows.time_ms > city.stop_ms - 5 * DAY_MS)
    begin = mine & (rows.time_ms < city.start_ms + 5 * DAY_MS)

    assert begin.sum() > 700
    if kind == "dead":
        assert not end.any()
    elif kind == "stuck":
        assert set(rows.inwards[end]) == {3.0}
    else:
        assert rows.outwards[end].sum() == 0
        assert rows.inwards[end].sum() > 0
        assert rows.outwards[begin].sum() > 0


def test_tunnels_have_a_counter_first_and_every_place_its_own_name() -> None:
    city = build_plan(Scenario(city=City(luminaires=500, tunnels=12, counters=60)))

    assert all("Tunnel" in c.site for c in city.counters[:12])
    assert len({c.site for c in city.counters}) == 60


def test_a_city_without_luminaires_can_still_be_walked() -> None:
    city = Scenario(city=City(luminaires=0, counters=3))
    rows = count_rows(
        city, counters(city), int(datetime(2026, 10, 1, tzinfo=UTC).timestamp()) // 86_400, 1
    )

    assert len(set(rows.counter.tolist())) == 3


def test_truth_names_broken_counters_so_that_what_footfall_leaves_out_can_be_scored(
    tmp_path: Path,
) -> None:
    walk = Footfall(dead=0.2, stuck=0.2, one_direction=0.3, busy_per_hour=240.0)
    of = scenario(walk)
    of = replace(of, city=replace(of.city, luminaires=20, counters=16))
    write_feed(of, tmp_path, processes=1)
    with (tmp_path / "truth.csv").open(encoding="utf-8") as file:
        truth = {
            row["device_id"]: (row["kind"], moment_ms(row["start"]))
            for row in csv.DictReader(file)
            if row["cause_kind"] == "counter"
        }
    rows = count_rows(of, counters(of), of.start_ms // DAY_MS, 28)
    sites, hours = len(counters(of)), 28 * 24
    people = np.full((2, hours, sites), np.nan)
    for site in range(sites):
        mine = rows.taken(rows.counter == site)
        hour = (mine.true_ms - 1 - of.start_ms) // HOUR_MS
        for way, column in enumerate((mine.inwards, mine.outwards)):
            summed = np.bincount(hour, weights=column, minlength=hours)
            people[way, :, site] = np.where(np.bincount(hour, minlength=hours) == 6, summed, np.nan)
    one_eyed = one_direction_lost(people[0], people[1])
    begins = {name: (start - of.start_ms) / HOUR_MS for name, (_, start) in truth.items()}

    assert {kind for kind, _ in truth.values()} == {
        "communication_failure", "sensor_stuck", "sensor_blind",
    }  # fmt: skip
    for site, counter in enumerate(counters(of)):
        kind = truth.get(counter.device_id, ("", 0))[0]
        broken = np.arange(hours) > begins.get(counter.device_id, hours)
        walked = np.nansum(people[:, :, site], axis=0) > 0
        assert kind != "communication_failure" or np.isnan(people[:, broken, site]).all()
        if kind == "sensor_stuck":
            assert (people[:, broken, site] == np.array([[18.0], [12.0]])).all()
        if kind == "sensor_blind":
            assert one_eyed[broken & walked, site].mean() > 0.8
        else:
            assert not one_eyed[:, site].any()

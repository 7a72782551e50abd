"""How true the footfall answers are, measured on the real data; writes docs/quality-footfall.md.

Placebo coverage, injected effects, peers on the same cases, the activity model on later weeks,
darkness odds ratios, suppression under attack, and speed. Seeds are fixed; nothing is asserted.
"""

import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import quality_activity
import statsmodels
import statsmodels.api as sm
from scipy.optimize import linprog
from scipy.special import stdtrit

from analytics.activity import fit_cells
from analytics.after_dark import case_hours, change, control_hours
from analytics.bands import band_series, contrast_series
from analytics.before_after import MAX_PRE_DAYS, effect
from analytics.darkness import light_and_dark
from analytics.privacy import suppress
from analytics.side_by_side import screen
from api.planning.counts import Counts, counts_from_table, without_faults
from api.tables import read_table

SEED = 20260
POST = 56
ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("LJUSVAKT_DATA", ROOT.parent / "shared" / "data")) / "footfall"


@dataclass
class Case:
    """One placebo: a site and a date at which nothing happened."""

    counts: np.ndarray  # (n_pre + n_post, n_sites), the treated one first
    n_pre: int


@dataclass
class Row:
    """What a method did on some cases."""

    name: str
    n: int
    cover: float
    rmse: float
    width: float
    winkler: float
    seconds: float = float("nan")
    refused: int = 0


def panel(name: str, zone: str, site: str, when: str) -> Counts:
    """One data set as the product reads it, faulty hours left out."""
    table = read_table(DATA / f"{name}.parquet")
    counts = counts_from_table(table, zone=ZoneInfo(zone), site_column=site, time_column=when)
    return without_faults(counts, "none")


def row_of(name: str, delta: Iterable[float], half: Iterable[float], **more: float) -> Row:
    """Summary of intervals around a truth of zero."""
    d, h = np.array(list(delta)), np.array(list(half))
    winkler = 2 * h + 2 / 0.05 * np.maximum(np.abs(d) - h, 0)
    return Row(
        name,
        len(d),
        float(np.mean(np.abs(d) <= h)),
        float(np.sqrt(np.mean(d**2))),
        float(np.median(2 * h)),
        float(np.mean(winkler)),
        **more,  # type: ignore[arg-type]
    )


def cases(
    series: np.ndarray, n_pre: int, n: int, seed: int, *, drop: float = 0.0, most: int = 0
) -> tuple[list[Case], int]:
    """Random (site, date) pairs that the method does not refuse, and how many it refused."""
    rng = np.random.default_rng(seed)
    found: list[Case] = []
    refused = 0
    while len(found) < n and refused < 20 * n:
        start = int(rng.integers(n_pre, len(series) - POST + 1))
        site = int(rng.integers(series.shape[1]))
        block = series[start - n_pre : start + POST]
        block = np.column_stack([block[:, site], np.delete(block, site, axis=1)])
        if drop:
            block = np.where(rng.random(block.shape) < drop, np.nan, block)
        if most:
            usable = effect(block, 0, n_pre).controls
            if len(usable) < most:
                refused += 1
                continue
            block = block[:, [0, *rng.choice(usable, most, replace=False)]]
        if effect(block, 0, n_pre).refused is None:
            found.append(Case(block, n_pre))
        else:
            refused += 1
    return found, refused


def each(work: Callable[[Case], Any], chosen: list[Case]) -> tuple[list[Any], float]:
    """Answers, and the median seconds of one: the machine is shared."""
    answers, seconds = [], []
    for case in chosen:
        begin = time.perf_counter()
        answers.append(work(case))
        seconds.append(time.perf_counter() - begin)
    return answers, float(np.median(seconds))


def ours(name: str, chosen: list[Case], refused: int = 0) -> Row:
    """Our method on cases."""
    answers, took = each(lambda c: effect(c.counts, 0, c.n_pre), chosen)
    return row_of(
        name,
        [a.log_ratio for a in answers],
        [a.half_width for a in answers],
        seconds=took,
        refused=refused,
    )


def logs(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Log counts of the treated site and of the controls our method would use."""
    used = list(effect(case.counts, 0, case.n_pre).controls)
    L = np.log1p(case.counts)
    return L[:, 0], L[:, used]


def naive(case: Case) -> tuple[float, float]:
    """Before and after at the site alone: Welch on daily logs."""
    y, _ = logs(case)
    a, b = y[case.n_pre - 56 : case.n_pre], y[case.n_pre :]
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    va, vb = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    df = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    return b.mean() - a.mean(), stdtrit(df, 0.975) * np.sqrt(va + vb)


def did_newey_west(case: Case) -> tuple[float, float]:
    """Difference in differences on daily logs, Newey-West with 7 lags (statsmodels)."""
    y, X = logs(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        gap = (y - np.nanmean(X, axis=1))[case.n_pre - 56 :]
    ok = np.isfinite(gap)
    post = (np.arange(len(gap)) >= 56).astype(float)[ok]
    fit = sm.OLS(gap[ok], sm.add_constant(post)).fit(
        cov_type="HAC", cov_kwds={"maxlags": 7, "use_correction": True}
    )
    return float(fit.params[1]), 1.96 * float(fit.bse[1])


def unobserved_components(case: Case) -> tuple[float, float]:
    """Statsmodels: local level, season of 7, the five most correlated controls, a step."""
    y, X = logs(case)
    filled = pd.DataFrame(X).interpolate(limit_direction="both").to_numpy()
    pre = slice(0, case.n_pre)
    ok = np.isfinite(y[pre])
    likeness = [np.corrcoef(y[pre][ok], filled[pre][ok, j])[0, 1] for j in range(X.shape[1])]
    best = np.argsort(likeness)[::-1][:5]
    step = (np.arange(len(y)) >= case.n_pre).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = sm.tsa.UnobservedComponents(
            y, level="local level", seasonal=7, exog=np.column_stack([filled[:, best], step])
        ).fit(disp=0)
    at = [i for i, n in enumerate(fit.model.param_names) if n.startswith("beta")][-1]
    return float(fit.params[at]), 1.96 * float(fit.bse[at])


def synthetic_control(case: Case) -> tuple[float, float]:
    """pysyncon: weights on the controls by weekly means before; a point estimate, no interval."""
    from pysyncon import Synth

    y, X = logs(case)
    filled = pd.DataFrame(X).interpolate(limit_direction="both")
    own = pd.Series(y, name="treated").interpolate(limit_direction="both")
    pre = slice(0, case.n_pre)
    week = np.arange(case.n_pre) // 7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = Synth()
        fit.fit(
            X0=filled[pre].groupby(week).mean(),
            X1=own[pre].groupby(week).mean(),
            Z0=filled[pre],
            Z1=own[pre],
            # All weeks weigh the same; searching their weights takes minutes a case.
            custom_V=np.ones(case.n_pre // 7),
        )
    gap = own.to_numpy() - filled.to_numpy() @ np.asarray(fit.W)
    shift = np.mean(gap[case.n_pre :]) - np.mean(gap[case.n_pre - 56 : case.n_pre])
    return float(shift), float("nan")


def peer(name: str, method: Callable[[Case], tuple[float, float]], chosen: list[Case]) -> Row:
    """Another method on the same cases."""
    answers, took = each(method, chosen)
    return row_of(name, [a[0] for a in answers], [a[1] for a in answers], seconds=took)


def injected(counts: np.ndarray, n_pre: int, change_share: float, rng: np.random.Generator):
    """The same counts with a known effect: thinned, or with Poisson people added."""
    out = counts.copy()
    after = out[n_pre:, 0]
    known = np.isfinite(after)
    whole = np.round(after[known]).astype(np.int64)
    if change_share < 0:
        after[known] = rng.binomial(whole, 1 + change_share)
    else:
        after[known] = whole + rng.poisson(change_share * whole)
    return out


def power_rows(name: str, chosen: list[Case], shares: list[float]) -> list[list[str]]:
    """Bias, coverage and power at each injected effect."""
    rows = []
    for share in shares:
        rng = np.random.default_rng(SEED + 99)
        truth = np.log1p(share)
        answers = [effect(injected(c.counts, c.n_pre, share, rng), 0, c.n_pre) for c in chosen]
        answers = [a for a in answers if a.refused is None]
        delta = np.array([a.log_ratio for a in answers])
        half = np.array([a.half_width for a in answers])
        found = np.mean([a.p_value <= 0.05 for a in answers])
        rows.append(
            [
                name,
                f"{share:+.0%}",
                str(len(answers)),
                f"{np.median(delta) - truth:+.3f}",
                f"{np.mean(np.abs(delta - truth) <= half):.3f}",
                f"{found:.3f}",
                f"{np.median(2 * half):.3f}",
            ]
        )
    return rows


# -- the rest ------------------------------------------------------------------------------------


def after_dark_rows(counts: Counts) -> list[list[str]]:
    """Placebo coverage of the change of the odds ratio, ours and the textbook's."""
    light, dark = light_and_dark(counts.hour_starts_s(), -37.81, 144.96)
    rows = []
    for against in ("light", "dark"):
        inside, widths, textbook = [], [], []
        for start in range(364, counts.n_days - 364, 14):
            for site in range(len(counts.sites)):
                found = change(counts.hourly, light, dark, site, start, against=against)
                if found.refused is None:
                    inside.append(found.low <= 0 <= found.high)
                    widths.append(found.high - found.low)
                    if against == "light":
                        textbook.append(wald_covers(counts, light, dark, site, start))
        rows.append(
            [
                f"controls always {against}",
                str(len(inside)),
                f"{np.mean(inside):.3f}",
                f"{np.median(widths):.3f}",
                f"{np.mean(textbook):.3f}" if textbook else "–",
            ]
        )
    return rows


def wald_covers(counts: Counts, light, dark, site: int, start: int) -> bool:
    """Whether the textbook interval of the change contains nothing-happened."""
    log_ratio, variance = 0.0, 0.0
    whole = slice(start - 364, start + 364)
    cases_, controls = case_hours(light[whole], dark[whole]), control_hours(light[whole], around=12)
    for sign, window in ((-1, slice(start - 364, start)), (1, slice(start, start + 364))):
        H = counts.hourly[window, :, site]
        reference = H[:, controls].sum(axis=1)
        cells = np.zeros(4)
        for hour in cases_:
            both = np.isfinite(H[:, hour]) & np.isfinite(reference)
            on, off = both & light[window, hour], both & dark[window, hour]
            cells += [
                H[on, hour].sum(), H[off, hour].sum(), reference[on].sum(), reference[off].sum(),
            ]  # fmt: skip
        a, b, c, d = cells + 0.5
        log_ratio += sign * np.log(a * d / (b * c))
        variance += 1 / a + 1 / b + 1 / c + 1 / d
    return abs(log_ratio) <= 1.96 * np.sqrt(variance)


def attack_row() -> list[str]:
    """Bounds a linear program finds for withheld cells of random 4 x 7 tables."""
    rng = np.random.default_rng(SEED + 7)
    withheld = tight = 0
    narrowest = np.inf
    for _ in range(60):
        table = rng.negative_binomial(1, 0.03, (4, 7)) * (rng.random((4, 7)) > 0.2)
        shown = suppress(table.astype(float))
        A, low, high = [], [], []
        known = [(np.isfinite(shown.cells[i, j]), (i, j), shown.cells[i, j])
                 for i in range(4) for j in range(7)]  # fmt: skip
        masks = [(np.eye(28)[i * 7 + j], v) for ok, (i, j), v in known if ok]
        masks += [(np.repeat(np.eye(4)[i], 7), shown.row_totals[i]) for i in range(4)]
        masks += [(np.tile(np.eye(7)[j], 4), shown.column_totals[j]) for j in range(7)]
        masks.append((np.ones(28), shown.total))
        for mask, value in masks:
            if np.isfinite(value):
                A.append(mask)
                low.append(value - 2.5)
                high.append(value + 2.5)
        G = np.vstack([A, -np.array(A)])
        h = np.concatenate([high, -np.array(low)])
        for i, j in np.argwhere(shown.withheld):
            goal = np.eye(28)[i * 7 + j]
            least = linprog(goal, A_ub=G, b_ub=h, bounds=(0, None))
            most = linprog(-goal, A_ub=G, b_ub=h, bounds=(0, None))
            width = (-most.fun if most.status == 0 else np.inf) - least.fun
            withheld += 1
            tight += width < 10
            narrowest = min(narrowest, width)
    return ["60", str(withheld), str(tight), f"{narrowest:.1f}"]


def timed(work: Callable[[], object], times: int) -> float:
    """Median seconds of some runs."""
    took = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        took.append(time.perf_counter() - begin)
    return float(np.median(took))


def speed_rows(short: tuple[Row, Row], long: tuple[Row, Row]) -> list[list[str]]:
    """Ratios within this run."""
    rng = np.random.default_rng(SEED)
    hundred = rng.poisson(500, (MAX_PRE_DAYS + POST, 100)).astype(float)
    weeks = rng.poisson(30, (104, 168, 50)).astype(np.float64)
    frame = pd.DataFrame(
        {
            "site": np.tile(np.repeat(np.arange(50, dtype=np.int32), 1), 104 * 168),
            "cell": np.tile(np.repeat(np.arange(168, dtype=np.int32), 50), 104),
            "count": weeks.reshape(-1),
        }
    )

    def moments() -> object:
        known = np.isfinite(weeks)
        n = known.sum(axis=0)
        mean = np.where(known, weeks, 0).sum(axis=0) / n
        return n, mean, (np.where(known, weeks - mean, 0) ** 2).sum(axis=0) / (n - 1)

    ours_s = timed(moments, 5)
    pandas_s = timed(
        lambda: frame.groupby(["site", "cell"])["count"].agg(["mean", "var", "count"]), 3
    )
    return [
        ["`effect`, 100 sites, 52 + 8 weeks", f"{timed(lambda: effect(hundred, 0, 364), 9):.4f} s"],
        ["`screen`: all 100 sites judged at once", f"{timed(lambda: screen(hundred, 364), 9):.4f} s"],
        ["statsmodels UnobservedComponents / `effect`, the 60 cases of 8 + 8 weeks",
         f"{short[1].seconds / short[0].seconds:.0f} times"],
        ["statsmodels UnobservedComponents / `effect`, the 40 cases of 52 + 8 weeks",
         f"{long[1].seconds / long[0].seconds:.0f} times"],
        ["pandas groupby mean, var, count / numpy, 50 sites x 104 weeks",
         f"{pandas_s / ours_s:.1f} times"],
        ["whole activity fit (cut, dispersion, drift, probability), same counts",
         f"{timed(lambda: fit_cells(weeks), 3) / ours_s:.1f} times the moments alone"],
    ]  # fmt: skip


def table(header: list[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def cells_of(row: Row) -> list[str]:
    """A row of results as text, with the binomial error of its coverage."""
    error = np.sqrt(row.cover * (1 - row.cover) / row.n)
    known = np.isfinite(row.width)
    return [
        row.name,
        str(row.n),
        f"{row.cover:.3f} ± {error:.3f}" if known else "–",
        f"{row.width:.3f}" if known else "–",
        f"{row.rmse:.3f}",
        f"{row.winkler:.3f}" if known else "–",
        str(row.refused),
    ]


def pooled_row(series: np.ndarray, size: int, n: int, seed: int) -> Row:
    """Several treated sites at once, nothing having happened."""
    rng = np.random.default_rng(seed)
    answers, refused = [], 0
    while len(answers) < n and refused < 20 * n:
        start = int(rng.integers(364, len(series) - POST + 1))
        sites = rng.choice(series.shape[1], size, replace=False).tolist()
        found = effect(series[start - 364 : start + POST], sites, 364)
        if found.refused is None:
            answers.append(found)
        else:
            refused += 1
    return row_of(
        f"Melbourne, {size} sites pooled, 52 weeks before",
        [a.log_ratio for a in answers],
        [a.half_width for a in answers],
        refused=refused,
    )


def placebo_rows(melbourne: Counts, leeds: Counts, zurich: Counts) -> list[Row]:
    """Every placebo bench: nothing happened, so 95 % of the intervals should contain zero."""
    hours, hours_l = melbourne.hourly, leeds.hourly
    plans = [
        ("Melbourne, all day, 8 weeks before", melbourne.days, 56, {}),
        ("Melbourne, all day, 52 weeks before", melbourne.days, 364, {}),
        ("Melbourne, day 05–18, 52 weeks before", band_series(hours, 5, 18), 364, {}),
        ("Melbourne, evening 18–24, 52 weeks before", band_series(hours, 18, 24), 364, {}),
        ("Melbourne, night 00–05, 52 weeks before", band_series(hours, 0, 5), 364, {}),
        ("Melbourne, Purple Flag 17–05, 52 weeks before", band_series(hours, 17, 5), 364, {}),
        ("Melbourne, evening minus day, 52 weeks before", contrast_series(hours), 364, {}),
        ("Melbourne, all day, 5 controls drawn", melbourne.days, 364, {"most": 5}),
        ("Melbourne, all day, 20 % of days removed", melbourne.days, 364, {"drop": 0.2}),
        ("Leeds, all day, 8 weeks before", leeds.days, 56, {}),
        ("Leeds, all day, 52 weeks before", leeds.days, 364, {}),
        ("Leeds, day 05–18, 52 weeks before", band_series(hours_l, 5, 18), 364, {}),
        ("Leeds, evening 18–24, 52 weeks before", band_series(hours_l, 18, 24), 364, {}),
        ("Zurich 2020–21, 8 weeks before", zurich.days, 56, {}),
        ("Zurich 2020–21, 26 weeks before", zurich.days, 182, {}),
    ]
    rows = []
    for i, (name, series, n_pre, more) in enumerate(plans):
        chosen, refused = cases(series, n_pre, 300, SEED + i, **more)  # type: ignore[arg-type]
        rows.append(ours(name, chosen, refused))
    return rows


PUBLISHED = [
    ["pycausalimpact 0.1.1 (published, not run: it breaks on pandas 3)", "106", ".575", ".061",
     ".096", ".871", "~1,100"],
    ["pysyncon 1.7.0 Synth (published; point estimate only)", "40", "–", "–", ".161–.169", "–",
     "~34"],
]  # fmt: skip


def main(out: Path) -> None:
    """Measure everything and write the page."""
    begin = time.perf_counter()
    melbourne = panel("melbourne_hourly_2012_2015", "Australia/Melbourne", "sensor", "local_time")
    leeds = panel("leeds_hourly_2009_2011", "Europe/London", "sensor", "local_time")
    zurich = panel("zurich_daily_foot_covid", "Europe/Zurich", "station", "date")
    placebo = placebo_rows(melbourne, leeds, zurich)
    pooled = [pooled_row(melbourne.days, size, 200, SEED + 40 + size) for size in (2, 3)]
    year, _ = cases(melbourne.days, 364, 200, SEED + 50)
    evening, _ = cases(band_series(melbourne.hourly, 18, 24), 364, 200, SEED + 51)
    power = power_rows("all day", year, [-0.3, -0.1, 0.05, 0.15, 0.5])
    power += power_rows("evening 18–24", evening, [-0.3, 0.15, 0.5])
    short, _ = cases(melbourne.days, 56, 300, SEED + 60)
    subset = short[:60]
    own_all, own = ours("Ljusvakt", short), ours("Ljusvakt", subset)
    peers_all = [
        own_all,
        peer("naive before/after, Welch", naive, short),
        peer("difference in differences, Newey–West 7", did_newey_west, short),
    ]
    uc = peer("statsmodels UnobservedComponents", unobserved_components, subset)
    peers = [
        own,
        uc,
        peer("naive before/after, Welch", naive, subset),
        peer("difference in differences, Newey–West 7", did_newey_west, subset),
    ]
    if find_spec("pysyncon") is not None:
        peers.append(
            peer(
                "pysyncon 1.7.0 Synth, equal weights of weeks (no interval)",
                synthetic_control,
                subset,
            )
        )
    long = year[:40]
    own_long = ours("Ljusvakt", long)
    uc_long = peer("statsmodels UnobservedComponents", unobserved_components, long)
    activity, tried = quality_activity.measured(melbourne, leeds, SEED + 70)
    dark = after_dark_rows(melbourne)
    attack = attack_row()
    speed = speed_rows((own, uc), (own_long, uc_long))
    everything = [r for r in placebo if "removed" not in r.name and "drawn" not in r.name]
    total = sum(r.n for r in everything)
    overall = sum(r.cover * r.n for r in everything) / total
    took = time.perf_counter() - begin
    page = PAGE.format(
        seed=SEED,
        versions=f"Python {platform.python_version()}, numpy {np.__version__}, "
        f"pandas {pd.__version__}, statsmodels {statsmodels.__version__}",
        minutes=f"{took / 60:.1f}",
        placebo=table(
            ["bench", "n", "cover", "median width", "RMSE", "Winkler", "refused draws"],
            map(cells_of, [*placebo, *pooled]),
        ),
        overall=f"{overall:.3f}",
        total=total,
        power=table(
            ["band", "effect", "n", "median bias", "cover", "power", "median width"], power
        ),
        peers=table(
            ["method", "n", "cover", "median width", "RMSE", "Winkler", "time / ours"],
            [
                *peer_cells(peers_all),
                *peer_cells(peers),
                *peer_cells([own_long, uc_long]),
                *PUBLISHED,
            ],
        ),
        activity=table(quality_activity.HEADER, activity),
        tried=table(quality_activity.TRIED_HEADER, tried),
        dark=table(
            ["", "site-dates", "cover", "median width", "textbook interval covers"], dark
        ),
        attack=table(["tables", "withheld cells", "bounded tighter than k", "narrowest bound"],
                     [attack]),
        speed=table(["what", "measured"], speed),
    )  # fmt: skip
    out.write_text(page, encoding="utf-8")


def peer_cells(rows: list[Row]) -> list[list[str]]:
    """Methods with their time relative to the first."""
    return [
        [*cells_of(row)[:6], "1" if i == 0 else f"{row.seconds / rows[0].seconds:.1f}"]
        for i, row in enumerate(rows)
    ]


PAGE = """# How true the footfall answers are

Generated by `tools/quality_footfall.py` (part of `make quality`) from the public counts that `LJUSVAKT_DATA` points to; do not edit.
Seed {seed}; {versions}; the whole run took {minutes} minutes.
Counts are read as a user's file is: repeated rows once, clock-change hours settled, dead and stuck hours left out.
The method's constants were chosen on Melbourne 2012–15, so its rows flatter it a little; Leeds and Zurich were not used for that.
Random (site, date) cases of one data set overlap, so the true error of a coverage is larger than the binomial one given.

## Placebos: nothing happened, so 95 % of the intervals should contain zero
`width` is the whole interval in log units; Winkler is the interval score (lower is better); a refused draw got no interval.

{placebo}
Pooled over all rows but the three variants (5 controls, removed days, several treated sites): {overall} of {total}.

## Injected effects: people taken away or added to real counts (Melbourne, 52 + 8 weeks)
Median bias is in log units; power is the share with p ≤ 0.05.

{power}
A change of 5 % is not detectable at one site in eight weeks, and 15 % only about every second time: the answer then says what could have been found.

## Peers on the same cases (Melbourne, all day, 8 + 8 weeks and 52 + 8 weeks)
First 300 cases, then the 60 of them on which UnobservedComponents was run too, then 40 cases of 52 + 8 weeks.
The last two rows are earlier measurements on other draws of the same counts; pycausalimpact cannot run beside pandas 3, and pysyncon is run here where it is installed.

{peers}
## Low activity: fitted on eight weeks, judged on the next eight (60 random dates each)
ECE is the mean gap between stated and observed probability in ten bins; the two Poisson columns are what a Poisson model of the same cells covers of its nominal 95 %.

{activity}
Of the Leeds cells called certain at 20 an hour fewer than 95 in a hundred are low: more is not claimed there.
Two things cannot be seen in eight weeks of counts: the night on which one hour brings ten times its usual people, and terms that begin.
With a tenth of the busy hours as the limit the claim holds on both.

### Models tried on the same draws
Log loss judges all stated probabilities (lower is better).
The rate of bursts is that of Melbourne; their size and weight, and the drift that grows as a cell empties, were tried on both.

{tried}
## After dark: change of the odds ratio where nothing changed (Melbourne, every 14th day)

{dark}
## Suppression: what a linear program learns of withheld cells (k = 10, 4 x 7 tables)

{attack}
## Speed, in this run, on a shared machine

{speed}"""


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "quality-footfall.md")

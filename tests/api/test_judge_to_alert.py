"""From readings to one order and one alert, measured."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from contracts.receiver import receiver
from street_of_lamps import LAT, LON, Street

from analytics.rules import Rules
from api.alerting import Alerting
from api.clock import Clock
from api.ledger import open_ledger
from api.operations.alerts import Channel
from api.settings import NotifySettings, Settings
from api.watch.feature_store import FeatureStore
from api.watch.judging import Judge
from api.watch.rounds import Due, RoundKind

DARK, FEEDERS, LAMPS = 500, 40, 20


@pytest.mark.slow
def test_five_hundred_out_on_one_cabinet_are_one_order_and_one_alert_within_a_minute(
    tmp_path: Path,
) -> None:
    """Timed from the round's first reading to the webhook's arrival."""
    street = Street(feeders=FEEDERS, lamps=LAMPS, nights=2)
    street.assets = [
        replace(a, cabinet="C-dark" if i < DARK else a.cabinet) for i, a in enumerate(street.assets)
    ]
    street.lit[:DARK, street.at(1, 8) :] = 0
    now_ms = street.moment(1, 11)
    with receiver(204) as (where, got), open_ledger(tmp_path / "ops.db") as ledger:
        ledger.put_assets(street.assets, now_ms=street.moment(0))
        ledger.put_recipient("jour", channel=Channel.WEBHOOK, address=f"http://{where}/hook")
        judge = Judge(
            ledger=ledger,
            store=street.store(),
            features=FeatureStore(),
            rules=Rules(),
            tz="Europe/Stockholm",
            lat=LAT,
            lon=LON,
        )
        alerting = Alerting(
            ledger,
            Settings(data_dir=tmp_path, notify=NotifySettings(webhook_allow=[where])),
            Clock(start_ms=now_ms, speed=1.0),
            may_send=lambda: True,
            base_url="https://l.example",
        )
        judge(Due(RoundKind.NOON, street.moment(1)))
        began = time.monotonic()
        judge(Due(RoundKind.LIGHT, now_ms))
        alerting.turn()
        took_s = time.monotonic() - began
        assert [o.members for o in ledger.work_orders().items] == [DARK]
        assert ledger.work_orders().items[0].cause_id == "C-dark"
        assert len(got) == 1
        event = json.loads(got[0][2])
        assert event["type"] == "se.ljusvakt.work_order.opened.v1"
        # Later rounds say the same of the same matter: nobody is told again.
        judge(Due(RoundKind.LIGHT, now_ms + 600_000))
        judge(Due(RoundKind.NOON, street.moment(2)))
        alerting.turn()
        assert len(got) == 1
        assert [o.members for o in ledger.work_orders().items] == [DARK]
    print(f"{DARK} of {FEEDERS * LAMPS} luminaires: told after {took_s:.1f} s")
    assert took_s < 60

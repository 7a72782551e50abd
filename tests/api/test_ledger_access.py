"""Users, keys, sessions, the audit log."""

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher
from contracts.lamp_street import HOUR_MS, NOW_MS
from sqlalchemy import text

from api.errors import BadInputError, BusyError, ConflictError
from api.ledger import Ledger, open_ledger
from api.ledger.access import LOCK_MS
from api.ledger.base import Base

GOOD = "correct horse battery"


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with open_ledger(ledger_url) as opened:
        # Real strength costs a quarter of a second a try; the tests are about what is done with it.
        opened._hasher = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
        opened.create_user("kim", roles=["crew"], areas=["Söder"], password=GOOD, now_ms=NOW_MS)
        yield opened


def test_the_right_password_opens_and_no_password_is_kept(ledger: Ledger) -> None:
    user = ledger.sign_in("kim", GOOD, now_ms=NOW_MS)
    assert user is not None
    assert (user.roles, user.areas) == ({"crew"}, {"Söder"})
    assert ledger.sign_in("kim", GOOD + "!", now_ms=NOW_MS) is None
    assert ledger.sign_in("nobody", GOOD, now_ms=NOW_MS) is None
    with ledger.database.read() as session:
        everything = str(
            [session.execute(table.select()).all() for table in Base.metadata.sorted_tables]
        )
    assert GOOD not in everything
    assert "$argon2id$" in everything


def test_ten_wrong_passwords_lock_the_name_for_a_while(ledger: Ledger) -> None:
    for _ in range(10):
        assert ledger.sign_in("kim", "wrong", now_ms=NOW_MS) is None
    assert ledger.sign_in("kim", GOOD, now_ms=NOW_MS + LOCK_MS - 1) is None
    assert ledger.sign_in("kim", GOOD, now_ms=NOW_MS + LOCK_MS) is not None


def test_c14_a_flood_of_sign_ins_is_told_to_wait_at_once(ledger: Ledger) -> None:
    assert ledger._hashing.acquire(blocking=False)
    assert ledger._hashing.acquire(blocking=False)
    with pytest.raises(BusyError):
        ledger.sign_in("kim", GOOD, now_ms=NOW_MS)
    ledger._hashing.release()
    assert ledger.sign_in("kim", GOOD, now_ms=NOW_MS) is not None


@pytest.mark.parametrize("password", ["short", "x" * 201])
def test_a_password_is_neither_short_nor_endless(ledger: Ledger, password: str) -> None:
    with pytest.raises(BadInputError, match="12 to 200"):
        ledger.set_password("kim", password)


def test_a_link_signs_in_once_and_for_a_day(ledger: Ledger) -> None:
    token = ledger.sign_in_link("kim", now_ms=NOW_MS)
    assert ledger.redeem_link("x" + token, now_ms=NOW_MS) is None
    assert ledger.redeem_link(token, now_ms=NOW_MS) is not None
    assert ledger.redeem_link(token, now_ms=NOW_MS) is None
    late = ledger.sign_in_link("kim", now_ms=NOW_MS)
    assert ledger.redeem_link(late, now_ms=NOW_MS + 24 * HOUR_MS) is None


def test_c02_a_key_opens_only_whole_unrevoked_and_in_time(ledger: Ledger) -> None:
    made = ledger.create_key("robot", roles=["tester"], now_ms=NOW_MS, expires_ms=NOW_MS + 1000)
    prefix, public_id, secret = made.secret.split("_", 2)
    assert prefix == "lv"
    assert ledger.key_of(made.secret, now_ms=NOW_MS) is not None
    for wrong in (
        made.secret[:-1],
        made.secret + "x",
        f"lv_{public_id}_",
        f"lv_000000000000_{secret}",
        f"xx_{public_id}_{secret}",
        "",
        "lv__",
    ):
        assert ledger.key_of(wrong, now_ms=NOW_MS) is None, wrong
    assert ledger.key_of(made.secret, now_ms=NOW_MS + 1000) is None
    ledger.revoke_key(public_id, now_ms=NOW_MS)
    assert ledger.key_of(made.secret, now_ms=NOW_MS) is None
    with ledger.database.read() as session:
        assert secret not in str(session.execute(text("SELECT * FROM api_keys")).all())


def test_c15_a_session_ends_with_sign_out_time_and_lost_roles(ledger: Ledger) -> None:
    user = ledger.user("kim")
    token, session = ledger.open_session(user.id, now_ms=NOW_MS, lasts_ms=12 * HOUR_MS)
    other, _ = ledger.open_session(user.id, now_ms=NOW_MS, lasts_ms=12 * HOUR_MS)
    assert token != other
    assert ledger.session_of(token, now_ms=NOW_MS) == session
    assert ledger.session_of(token, now_ms=session.expires_ms) is None
    ledger.close_session(token)
    assert ledger.session_of(token, now_ms=NOW_MS) is None
    assert ledger.session_of(other, now_ms=NOW_MS) is not None
    ledger.change_user("kim", roles=["planner"])
    assert ledger.session_of(other, now_ms=NOW_MS) is None


def test_a_removed_or_changed_entry_shows_in_the_audit_log(ledger: Ledger) -> None:
    for i in range(5):
        ledger.audit(actor="kim", action="a", subject=str(i), now_ms=NOW_MS, details={"n": i})
    assert ledger.audit_break() is None
    unguarded = {
        "sqlite": "DROP TRIGGER audit_no_delete",
        "postgresql": "SET LOCAL session_replication_role = replica",
    }[ledger.database.dialect]
    with ledger.database.write() as session:  # whoever owns the database can do this; it shows
        session.execute(text(unguarded))
        session.execute(text("DELETE FROM audit WHERE subject = '2'"))
    assert ledger.audit_break() == 4


def test_names_are_unique_and_roles_known(ledger: Ledger) -> None:
    with pytest.raises(ConflictError):
        ledger.create_user("kim", roles=["crew"], now_ms=NOW_MS)
    for roles in ([], ["king"]):
        with pytest.raises(BadInputError, match="roles"):
            ledger.create_user("li", roles=roles, now_ms=NOW_MS)
    for name in ("", " li", "l\ni", "x" * 101):
        with pytest.raises(BadInputError, match="name"):
            ledger.create_user(name, roles=["crew"], now_ms=NOW_MS)

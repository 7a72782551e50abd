"""The part of the ledger that knows who may come in: users, keys, sessions, and the audit log."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Collection, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from threading import BoundedSemaphore
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from api.errors import BadInputError, BusyError, ConflictError, NotFoundError
from api.ledger.base import Database
from api.ledger.models import ApiKeyRow, AuditRow, SessionRow, UserRow
from api.ledger.views import ApiKey, AuditAction, AuditEntry, User

__all__ = ["ROLES", "Access", "BrowserSession", "NewKey"]

ROLES = frozenset({"crew", "planner", "tester", "operator", "admin", "partner", "public"})
LINK_MS = 24 * 3_600_000
SEEN_EVERY_MS = 60_000
MIN_PASSWORD = 12
MAX_PASSWORD = 200
FAILURES_BEFORE_LOCK = 10
LOCK_MS = 15 * 60_000
AUDIT_LOCK = 7_203_304
NOBODY = "0" * 64


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made; `secret` is the whole key, shown this once."""

    key: ApiKey
    secret: str


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A signed-in browser."""

    user: User
    csrf: str
    created_ms: int
    expires_ms: int


class Access:
    """Users, API keys, sessions, audit."""

    _db: Database
    _hasher: PasswordHasher
    _hashing: BoundedSemaphore
    _afterwards: Executor
    _noting: set[str]

    # -- users -------------------------------------------------------------------------------

    def create_user(
        self,
        name: str,
        *,
        roles: Collection[str],
        now_ms: int,
        areas: Collection[str] = (),
        password: str | None = None,
        oidc_subject: str | None = None,
        language: str = "sv",
    ) -> User:
        """A person who may sign in. `areas` empty = every area.

        Raises
        ------
        ConflictError
            If the name is taken.
        BadInputError
            If the name, a role or the password cannot be used.
        """
        check_name(name)
        check_roles(roles)
        hashed = self._hash(password) if password is not None else None
        with self._db.write() as session:
            if session.scalar(select(UserRow.id).where(UserRow.name == name)) is not None:
                raise ConflictError(f"there is a user {name!r} already.")
            row = UserRow(
                name=name,
                roles=sorted(roles),
                areas=sorted(areas),
                password_hash=hashed,
                oidc_subject=oidc_subject,
                language=language,
                active=True,
                created_ms=now_ms,
                failed_logins=0,
            )
            session.add(row)
            session.flush()
            return user_view(row)

    def users(self) -> list[User]:
        """Everybody, by name."""
        with self._db.read() as session:
            return [
                user_view(row) for row in session.scalars(select(UserRow).order_by(UserRow.name))
            ]

    def user(self, name: str) -> User:
        """One person by name."""
        with self._db.read() as session:
            return user_view(user_row(session, name))

    def user_of_subject(self, oidc_subject: str) -> User | None:
        """The person an identity provider means."""
        with self._db.read() as session:
            row = session.scalar(select(UserRow).where(UserRow.oidc_subject == oidc_subject))
            return user_view(row) if row and row.active else None

    def change_user(
        self,
        name: str,
        *,
        roles: Collection[str] | None = None,
        areas: Collection[str] | None = None,
        active: bool | None = None,
        language: str | None = None,
    ) -> User:
        """Other roles, areas or language. Less than before ends the sessions at once."""
        with self._db.write() as session:
            row = user_row(session, name)
            if roles is not None:
                check_roles(roles)
                row.roles = sorted(roles)
            if areas is not None:
                row.areas = sorted(areas)
            if language is not None:
                row.language = language
            if active is not None:
                row.active = active
            if roles is not None or areas is not None or active is False:
                session.execute(delete(SessionRow).where(SessionRow.user_id == row.id))
            return user_view(row)

    def set_password(self, name: str, password: str) -> None:
        """A new password; every session of the user ends."""
        hashed = self._hash(password)
        with self._db.write() as session:
            row = user_row(session, name)
            row.password_hash = hashed
            row.failed_logins, row.locked_until_ms = 0, None
            session.execute(delete(SessionRow).where(SessionRow.user_id == row.id))

    def sign_in(self, name: str, password: str, *, now_ms: int) -> User | None:
        """The user, if the password is right; None says nothing about why not.

        Ten failures lock the name for a quarter of an hour. An unknown name costs as much time as a
        wrong password.

        Raises
        ------
        BusyError
            If two passwords are being checked already: each costs real memory and time.
        """
        with self._db.read() as session:
            row = session.scalar(select(UserRow).where(UserRow.name == name))
            stored = row.password_hash if row and row.active else None
            locked = bool(row and row.locked_until_ms and row.locked_until_ms > now_ms)
        right = self._verify(stored or self._dummy_hash(), password)
        if row is None:
            return None
        with self._db.write() as session:
            fresh = session.get_one(UserRow, row.id)
            if locked or stored is None:
                return None
            if not right:
                fresh.failed_logins += 1
                if fresh.failed_logins >= FAILURES_BEFORE_LOCK:
                    fresh.failed_logins, fresh.locked_until_ms = 0, now_ms + LOCK_MS
                return None
            fresh.failed_logins, fresh.locked_until_ms = 0, None
            return user_view(fresh)

    def sign_in_link(self, name: str, *, now_ms: int) -> str:
        """A secret for one sign-in within a day; an earlier one no longer works."""
        token = secrets.token_urlsafe(32)
        with self._db.write() as session:
            row = user_row(session, name)
            row.link_digest, row.link_until_ms = digest_of(token), now_ms + LINK_MS
        return token

    def redeem_link(self, token: str, *, now_ms: int) -> User | None:
        """The user a link was made for; it works once."""
        with self._db.write() as session:
            row = session.scalar(
                select(UserRow).where(UserRow.link_digest == digest_of(token)).with_for_update()
            )
            if row is None:
                return None
            until_ms, row.link_digest, row.link_until_ms = row.link_until_ms, None, None
            return user_view(row) if row.active and until_ms and until_ms > now_ms else None

    def calendar_token(self, name: str) -> str:
        """A new secret for the user's calendar address; the earlier one no longer works."""
        token = secrets.token_urlsafe(24)
        with self._db.write() as session:
            user_row(session, name).calendar_digest = digest_of(token)
        return token

    def user_of_calendar(self, token: str) -> User | None:
        """Whose calendar address it is."""
        with self._db.read() as session:
            row = session.scalar(select(UserRow).where(UserRow.calendar_digest == digest_of(token)))
            return user_view(row) if row and row.active else None

    # -- API keys ----------------------------------------------------------------------------

    def create_key(
        self,
        name: str,
        *,
        roles: Collection[str],
        now_ms: int,
        areas: Collection[str] = (),
        user: str | None = None,
        expires_ms: int | None = None,
    ) -> NewKey:
        """A key for a program: `lv_<id>_<secret>`."""
        check_name(name)
        check_roles(roles)
        # Hexadecimal, so that the underscore parts the id from the secret without doubt.
        public_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        with self._db.write() as session:
            row = ApiKeyRow(
                public_id=public_id,
                digest=digest_of(secret),
                name=name,
                roles=sorted(roles),
                areas=sorted(areas),
                user_id=user_row(session, user).id if user else None,
                created_ms=now_ms,
                expires_ms=expires_ms,
            )
            session.add(row)
            session.flush()
            return NewKey(key_view(row), f"lv_{public_id}_{secret}")

    def key_of(self, raw: str, *, now_ms: int) -> ApiKey | None:
        """The key, if it is whole, known, not revoked and not expired.

        An unknown id is compared as well, so that both answers cost the same.
        """
        prefix, _, rest = raw[:200].partition("_")
        public_id, _, secret = rest.partition("_")
        with self._db.read() as session:
            row = session.get(ApiKeyRow, public_id) if prefix == "lv" and public_id else None
            same = hmac.compare_digest(row.digest if row else NOBODY, digest_of(secret))
            if row is None or not same or row.revoked_ms is not None:
                return None
            if row.expires_ms is not None and row.expires_ms <= now_ms:
                return None
            found = key_view(row)
        if found.last_used_ms is None or now_ms - found.last_used_ms >= SEEN_EVERY_MS:
            # Afterwards: who only reads shall not wait in line behind a round that writes.
            if public_id not in self._noting:
                self._noting.add(public_id)
                self._afterwards.submit(self._note_use, public_id, now_ms)
            found = replace(found, last_used_ms=now_ms)
        return found

    def _note_use(self, public_id: str, now_ms: int) -> None:
        """When a key was last used."""
        try:
            with self._db.write() as session:
                if (row := session.get(ApiKeyRow, public_id)) is not None:
                    row.last_used_ms = max(row.last_used_ms or 0, now_ms)
        finally:
            self._noting.discard(public_id)

    def keys(self) -> list[ApiKey]:
        """Every key ever made, the newest first."""
        with self._db.read() as session:
            rows = session.scalars(
                select(ApiKeyRow).order_by(ApiKeyRow.created_ms.desc(), ApiKeyRow.public_id)
            )
            return [key_view(row) for row in rows]

    def revoke_key(self, public_id: str, *, now_ms: int) -> ApiKey:
        """The key works no longer."""
        with self._db.write() as session:
            row = session.get(ApiKeyRow, public_id)
            if row is None:
                raise NotFoundError(f"no key {public_id!r}.")
            row.revoked_ms = row.revoked_ms or now_ms
            return key_view(row)

    # -- sessions ----------------------------------------------------------------------------

    def open_session(
        self, user_id: int, *, now_ms: int, lasts_ms: int
    ) -> tuple[str, BrowserSession]:
        """A new session and its token for the cookie; the token itself is not kept."""
        token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        with self._db.write() as session:
            user = session.get_one(UserRow, user_id)
            row = SessionRow(
                digest=digest_of(token),
                user_id=user_id,
                csrf=csrf,
                created_ms=now_ms,
                seen_ms=now_ms,
                expires_ms=now_ms + lasts_ms,
            )
            session.execute(delete(SessionRow).where(SessionRow.expires_ms <= now_ms))
            session.add(row)
            return token, BrowserSession(user_view(user), csrf, now_ms, row.expires_ms)

    def session_of(self, token: str, *, now_ms: int) -> BrowserSession | None:
        """The session of a cookie, if it stands and its user is active."""
        with self._db.read() as session:
            row = session.get(SessionRow, digest_of(token))
            user = session.get(UserRow, row.user_id) if row else None
            if row is None or user is None or not user.active or row.expires_ms <= now_ms:
                return None
            return BrowserSession(user_view(user), row.csrf, row.created_ms, row.expires_ms)

    def close_session(self, token: str) -> None:
        """Signed out; again does nothing."""
        with self._db.write() as session:
            session.execute(delete(SessionRow).where(SessionRow.digest == digest_of(token)))

    def close_sessions(self, name: str) -> None:
        """Sign a user out everywhere."""
        with self._db.write() as session:
            number = user_row(session, name).id
            session.execute(delete(SessionRow).where(SessionRow.user_id == number))

    # -- audit -------------------------------------------------------------------------------

    def audit(
        self,
        *,
        actor: str,
        action: AuditAction,
        subject: str,
        now_ms: int,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Add to the log of who did what. Nothing changes or removes an entry."""
        with self._db.write() as session:
            self._db.lock(session, AUDIT_LOCK)
            newest = select(AuditRow.digest).order_by(AuditRow.id.desc()).limit(1)
            previous = session.scalar(newest) or NOBODY
            row = AuditRow(
                at_ms=now_ms,
                actor=actor[:200],
                action=action,
                subject=subject[:200],
                details=dict(details or {}),
                previous=previous,
                digest="",
            )
            row.digest = audit_digest(row)
            session.add(row)

    def audit_entries(self, *, before: int | None = None, limit: int = 100) -> list[AuditEntry]:
        """The log, newest first; `before` = id of the last one seen."""
        query = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
        if before is not None:
            query = query.where(AuditRow.id < before)
        with self._db.read() as session:
            return [
                AuditEntry(r.id, r.at_ms, r.actor, r.action, r.subject, dict(r.details))
                for r in session.scalars(query)
            ]

    def audit_break(self) -> int | None:
        """Id of the first entry that does not follow from the one before it; None if all do."""
        previous = NOBODY
        with self._db.read() as session:
            for row in session.scalars(select(AuditRow).order_by(AuditRow.id)):
                if row.previous != previous or row.digest != audit_digest(row):
                    return row.id
                previous = row.digest
        return None

    # -- passwords ---------------------------------------------------------------------------

    def _hash(self, password: str) -> str:
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise BadInputError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters.")
        with self._turn():
            return self._hasher.hash(password)

    def _verify(self, stored: str, password: str) -> bool:
        with self._turn():
            try:
                return self._hasher.verify(stored, password[: MAX_PASSWORD + 1])
            except (VerificationError, InvalidHashError):
                return False

    def _turn(self) -> "Turn":
        return Turn(self._hashing)

    def _dummy_hash(self) -> str:
        if self._nobody is None:
            self._nobody = self._hasher.hash(secrets.token_urlsafe(32))
        return self._nobody

    _nobody: str | None = None


class Turn:
    """One of the few password checks at a time; who finds no room is told at once."""

    def __init__(self, room: BoundedSemaphore) -> None:
        self._room = room

    def __enter__(self) -> None:
        if not self._room.acquire(blocking=False):
            raise BusyError("too many people sign in at once.", remedy="Try again in a moment.")

    def __exit__(self, *_: object) -> None:
        self._room.release()


def digest_of(secret: str) -> str:
    """SHA-256, hexadecimal: the secrets are 192 random bits or more, so nothing need be slow."""
    return hashlib.sha256(secret.encode()).hexdigest()


def audit_digest(row: AuditRow) -> str:
    """Hash of an entry and the one before it."""
    parts = [row.previous, row.at_ms, row.actor, row.action, row.subject, row.details]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def check_name(name: str) -> None:
    """A name people can read and nothing else."""
    if not 1 <= len(name) <= 100 or not name.isprintable() or name != name.strip():
        raise BadInputError("a name has 1 to 100 printable characters.")


def check_roles(roles: Collection[str]) -> None:
    """Known roles, at least one."""
    if not roles or set(roles) - ROLES:
        raise BadInputError(f"roles are some of {', '.join(sorted(ROLES))}.")


def user_row(session: Session, name: str) -> UserRow:
    """The user by name."""
    row = session.scalar(select(UserRow).where(UserRow.name == name))
    if row is None:
        raise NotFoundError(f"no user {name!r}.")
    return row


def user_view(row: UserRow) -> User:
    """A user without any secret."""
    return User(
        id=row.id,
        name=row.name,
        roles=frozenset(row.roles),
        areas=frozenset(row.areas),
        language=row.language,
        active=row.active,
        created_ms=row.created_ms,
        has_password=row.password_hash is not None,
        locked_until_ms=row.locked_until_ms,
        oidc_subject=row.oidc_subject,
    )


def key_view(row: ApiKeyRow) -> ApiKey:
    """A key without its secret."""
    return ApiKey(
        public_id=row.public_id,
        name=row.name,
        roles=frozenset(row.roles),
        areas=frozenset(row.areas),
        user_id=row.user_id,
        created_ms=row.created_ms,
        expires_ms=row.expires_ms,
        last_used_ms=row.last_used_ms,
        revoked_ms=row.revoked_ms,
    )

"""What the API sends of users, keys and the audit log."""

from typing import Any

from pydantic import BaseModel

from api.ledger.views import ApiKey, AuditEntry, User
from api.routes.shapes import moment

__all__ = ["AuditOut", "KeyOut", "UserOut"]


class UserOut(BaseModel):
    """A person who signs in."""

    id: int
    name: str
    roles: list[str]
    areas: list[str]
    language: str
    active: bool
    created_at: str
    has_password: bool
    locked_until: str | None

    @classmethod
    def of(cls, user: User) -> "UserOut":
        """One user; no secret is part of it."""
        return cls(
            id=user.id,
            name=user.name,
            roles=sorted(user.roles),
            areas=sorted(user.areas),
            language=user.language,
            active=user.active,
            created_at=moment(user.created_ms) or "",
            has_password=user.has_password,
            locked_until=moment(user.locked_until_ms),
        )


class KeyOut(BaseModel):
    """A key for programs, without its secret."""

    id: str
    name: str
    roles: list[str]
    areas: list[str]
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None

    @classmethod
    def of(cls, key: ApiKey) -> "KeyOut":
        """One key."""
        return cls(
            id=key.public_id,
            name=key.name,
            roles=sorted(key.roles),
            areas=sorted(key.areas),
            created_at=moment(key.created_ms) or "",
            expires_at=moment(key.expires_ms),
            last_used_at=moment(key.last_used_ms),
            revoked_at=moment(key.revoked_ms),
        )


class AuditOut(BaseModel):
    """Who did what; nothing here can be changed."""

    id: int
    at: str
    actor: str
    action: str
    subject: str
    details: dict[str, Any]

    @classmethod
    def of(cls, entry: AuditEntry) -> "AuditOut":
        """One entry."""
        return cls(
            id=entry.id,
            at=moment(entry.at_ms) or "",
            actor=entry.actor,
            action=entry.action,
            subject=entry.subject,
            details=dict(entry.details),
        )

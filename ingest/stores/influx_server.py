"""The InfluxDB server: where it is, how we make ourselves known, and how it says no."""

import base64
import ssl
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import msgspec
from influxdb_client.client.exceptions import InfluxDBError

from ingest.errors import SettingsError, StoreAwayError, StoreDeniedError, StoreError

__all__ = ["InfluxTarget", "Verdict", "error_of", "verdict_of"]

# What servers say when the lines are to blame. Any other 400 is about how we ask: quarantining for
# it would push good readings out of the quarantine.
_ABOUT_LINES = ("partial write", "unable to parse", "field type", "line protocol", "retention")


@dataclass(frozen=True, slots=True)
class InfluxTarget:
    """Where InfluxDB is and how we make ourselves known.

    Attributes
    ----------
    url : str
    bucket : str
        Bucket (2.x), database (3 Core), or `database` or `database/retention_policy` (1.x).
    token : str
        Of 2.x or 3, or `user:password` of 1.x.
    org : str
        Of 2.x.
    username, password : str
        Of 1.x; used where there is no token.
    ca_file, cert_file, key_file : Path, optional
        Whom to trust, and a client certificate.
    timeout_s : float
        How long one answer may take [s].
    """

    url: str
    bucket: str
    token: str = ""
    org: str = ""
    username: str = ""
    password: str = ""
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    timeout_s: float = 30.0

    def __repr__(self) -> str:
        return f"InfluxTarget({self.url!r}, bucket={self.bucket!r})"

    @property
    def credentials(self) -> str:
        """What stands after `Authorization: Token` in a write; 1.8 reads `user:password` there."""
        return self.token or (f"{self.username}:{self.password}" if self.username else "")

    @property
    def authorization(self) -> dict[str, str]:
        """The header for reading: 1.x before 1.8 knows user and password in no other form."""
        if not self.credentials:
            return {}
        if ":" in self.credentials:  # no token of 2.x or 3 holds a colon
            known = base64.b64encode(self.credentials.encode()).decode()
            return {"Authorization": f"Basic {known}"}
        return {"Authorization": f"Token {self.credentials}"}

    def tls(self) -> ssl.SSLContext | None:
        """Whom to trust; None for plain http."""
        if not self.url.startswith("https:"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        except OSError as error:
            raise SettingsError(
                f"a certificate for InfluxDB cannot be read: {error}. "
                "Check store.influx_ca_file and the client certificate."
            ) from error
        return context


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the server holds against lines."""

    said: str
    too_large: bool

    def all_of(self, n: int) -> bool:
        """Whether the server says that it dropped every one of `n` lines."""
        return n == 1 or self.said.endswith(f"dropped={n}")


def verdict_of(error: InfluxDBError, target: InfluxTarget) -> Verdict:
    """What the server holds against the lines; raises where it is not about them."""
    status = int(getattr(error, "status", None) or 0)
    body = str(getattr(error, "body", None) or getattr(error, "message", None) or error)
    said = _words(body)
    if status in {413, 422} or (status == 400 and any(word in said for word in _ABOUT_LINES)):
        return Verdict(said, status == 413)
    headers: Any = getattr(error, "headers", None) or {}
    raise error_of(status, body, headers, target) from error


def _words(body: str) -> str:
    """The server's own words out of its JSON."""
    try:
        said = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return body.strip()[:500]
    return str(said.get("message") or said.get("error") or body).strip()[:500]


def error_of(status: int, body: str, headers: Any, target: InfluxTarget) -> StoreError:
    """An answer that is not about the lines, as an error that names the remedy."""
    said = f"InfluxDB at {target.url} answered {status}: {_words(body)}"
    if status in {401, 403}:
        return StoreDeniedError(f"{said}. Check store.influx_token and its rights on the bucket.")
    if status == 404:
        return StoreDeniedError(f"{said}. Check store.influx_url and store.influx_bucket.")
    if status == 400:
        return StoreDeniedError(f"{said}. It is not about the readings: check the store settings.")
    return StoreAwayError(said, retry_after_s=_retry_after_s(headers))


def _retry_after_s(headers: Any) -> float | None:
    """Seconds of `Retry-After`, be it a number or a date (RFC 9110, 10.2.3)."""
    text = str(headers.get("Retry-After") or "").strip()
    if text.isdigit():
        return float(text)
    try:
        # By the server's own clock, which may not be ours.
        until = parsedate_to_datetime(text) - parsedate_to_datetime(str(headers.get("Date")))
    except ValueError:
        return None
    return max(0.0, until.total_seconds())

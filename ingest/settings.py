"""What an operator can set about ingest; `docs/settings.md` has a row for each."""

from dataclasses import dataclass, field
from pathlib import Path

from ingest.errors import SettingsError
from ingest.topics import FILTERS

__all__ = ["CollectorSettings", "JournalSettings", "MqttSettings", "TlsSettings", "parse_broker"]

SCHEMES = {"mqtt": (False, 1883), "mqtts": (True, 8883), "tcp": (False, 1883), "ssl": (True, 8883)}


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How the broker is known, and how we are known to it.

    Attributes
    ----------
    ca_file : Path or None
        Certificates that may sign the broker's; None = those of the operating system.
    crl_file : Path or None
        The list of revoked certificates of the authority that signs the broker's, in PEM; None =
        revocation is not looked at.
    cert_file, key_file : Path or None
        Our own certificate and key, when the broker asks for one.
    """

    ca_file: Path | None = None
    crl_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """One MQTT connection.

    Attributes
    ----------
    host : str
    port : int
    client_id : str
        Fixed: the broker keeps our session, and what came meanwhile, under this name.
    filters : tuple of str
        Topics to subscribe to.
    username, password : str or None
    tls : TlsSettings or None
        None = plain TCP.
    keepalive_s : int
        Above 0: a dead connection is noticed after one and a half times this [s].
    receive_max : int
        How many unacknowledged messages the broker may send us (MQTT 5).
    session_expiry_s : int
        How long the broker keeps our session while we are away [s] (MQTT 5).
    protocol : str
        "auto" = MQTT 5, then 3.1.1; or "5" or "3.1.1".
    connack_timeout_s : float
        A broker that has not answered CONNECT by then is asked in the other version [s].
    reconnect_max_s : float
        The longest wait before connecting again [s].
    takeover_wait_s : float
        The wait after another client with our id has thrown us out [s].
    """

    host: str = "127.0.0.1"
    port: int = 1883
    client_id: str = "ljusvakt-collector-0"
    filters: tuple[str, ...] = FILTERS
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: TlsSettings | None = None
    keepalive_s: int = 30
    receive_max: int = 1000
    session_expiry_s: int = 7 * 86_400
    protocol: str = "auto"
    connack_timeout_s: float = 5.0
    reconnect_max_s: float = 60.0
    takeover_wait_s: float = 60.0

    def __post_init__(self) -> None:
        if not 1 <= self.keepalive_s <= 65_535:
            raise SettingsError(f"keepalive_s is {self.keepalive_s}; it must be 1 to 65535")
        if not 1 <= self.receive_max <= 65_535:
            raise SettingsError(f"receive_max is {self.receive_max}; it must be 1 to 65535")
        if self.protocol not in {"auto", "5", "3.1.1"}:
            raise SettingsError(f"protocol is {self.protocol!r}; it must be auto, 5 or 3.1.1")
        if not self.client_id:
            raise SettingsError("client_id is empty; the broker keeps our session under it")
        if not self.filters:
            raise SettingsError("filters is empty; name the topics to subscribe to")


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """Where and how large the journal is.

    Attributes
    ----------
    quota_bytes : int
        Its largest content [bytes]; then nothing is acknowledged until a store has taken some.
    min_free_bytes : int
        Free space of its disk below which it counts as full [bytes].
    quarantine_bytes : int
        How much the quarantine may hold [bytes]; then the oldest message goes.
    frames_kept : int
        How many LoRaWAN frames are remembered to know repeats.
    """

    quota_bytes: int = 2_000_000_000
    min_free_bytes: int = 64 * 1024 * 1024
    quarantine_bytes: int = 64 * 1024 * 1024
    frames_kept: int = 1_000_000


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """How messages are gathered into commits.

    Attributes
    ----------
    linger_s : float
        The longest a message waits for others before they are committed together [s].
    batch_messages : int
        So many are committed without waiting.
    inbox_messages : int
        So many waiting messages stop the reading of the socket; half of it starts it again.
    retained_max_age_s : float
        Retained messages whose readings are all older are ignored and counted [s].
    identity_alarms : int
        So many identity mismatches of one device are a security event.
    retry_s : float
        The wait before a full or failing journal is tried again [s].
    stop_s : float
        The longest a stop may take [s].
    receipts_s : float
        How often devices are told what is durable [s]; 0 = never.
    """

    linger_s: float = 0.008
    batch_messages: int = 1000
    inbox_messages: int = 20_000
    retained_max_age_s: float = 86_400.0
    identity_alarms: int = 3
    retry_s: float = 0.5
    stop_s: float = 8.0
    receipts_s: float = 2.0


def parse_broker(url: str) -> tuple[str, int, bool]:
    """Host, port and whether TLS, of `mqtt://host[:port]` or `mqtts://host[:port]`.

    Raises
    ------
    SettingsError
        If it is no such address, or holds a password (those belong in a file or the environment).
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in SCHEMES:
        raise SettingsError(
            f"broker {url!r} is not auto, mosquitto, amqtt, mqtt://host:port or mqtts://host:port"
        )
    if "@" in rest:
        raise SettingsError(
            "the broker's address must not hold user or password: set them by their own settings"
        )
    tls, port = SCHEMES[scheme]
    rest = rest.rstrip("/")
    host, separator, text = rest.rpartition(":") if not rest.endswith("]") else (rest, "", "")
    if not separator:
        host = rest
    elif text.isascii() and text.isdigit() and 0 < int(text) < 65_536:
        port = int(text)
    else:
        raise SettingsError(f"broker {url!r} has no usable port")
    host = host.removeprefix("[").removesuffix("]")
    if not host:
        raise SettingsError(f"broker {url!r} names no host")
    return host, port, tls

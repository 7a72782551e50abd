"""Every setting, its default and what it means; `docs/settings.md` has one row for each."""

import os
import re
import stat
import tomllib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from api.errors import BadInputError

__all__ = [
    "AccessSettings",
    "BrokerSettings",
    "CaseSettings",
    "HttpSettings",
    "JournalSettings",
    "LedgerSettings",
    "NotifySettings",
    "RoundSettings",
    "Settings",
    "SituationSettings",
    "StoreSettings",
    "load_settings",
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BrokerSettings(_Section):
    """Where messages come from."""

    url: Annotated[
        str,
        Field(description="auto | mosquitto | amqtt | mqtt://host:port | mqtts://host:port"),
    ] = "auto"
    port: Annotated[
        int, Field(description="Where a broker started here listens; 0: any free port", ge=0)
    ] = 1883
    username: Annotated[str, Field(description="User name at the broker")] = ""
    password: Annotated[SecretStr, Field(description="Password at the broker")] = SecretStr("")
    ca_file: Annotated[Path | None, Field(description="CA certificates for mqtts")] = None
    crl_file: Annotated[
        Path | None,
        Field(description="Revoked certificates (CRL in PEM) for mqtts; read at each connection"),
    ] = None
    certificate_file: Annotated[Path | None, Field(description="Client certificate")] = None
    key_file: Annotated[Path | None, Field(description="Key of the client certificate")] = None
    client_id: Annotated[
        str, Field(description="Fixed id of this collector; one per collector", min_length=1)
    ] = "ljusvakt-collector-0"
    groups: Annotated[
        list[str], Field(description="Groups this collector takes; empty takes all")
    ] = []
    source: Annotated[
        Literal["paho", "mqtt5"],
        Field(description="paho: any broker; mqtt5: MQTT 5 brokers, and paho for others"),
    ] = "paho"
    receive_maximum: Annotated[
        int, Field(description="Messages in flight before the broker waits", ge=1, le=65_535)
    ] = 1000


class JournalSettings(_Section):
    """What is acknowledged rests here until it is in the store."""

    quota_mb: Annotated[int, Field(description="Most the journal may take on disk [MB]", ge=16)] = (
        2000
    )
    quarantine_mb: Annotated[
        int, Field(description="Most that unreadable messages may take [MB], oldest go first", ge=1)
    ] = 200


class StoreSettings(_Section):
    """Where readings rest."""

    kind: Annotated[
        Literal["parquet", "influx"], Field(description="parquet: embedded; influx: InfluxDB")
    ] = "parquet"
    influx_url: Annotated[str, Field(description="Address of InfluxDB")] = "http://127.0.0.1:8086"
    influx_token: Annotated[
        SecretStr, Field(description="Token (2.x, 3) or user:password (1.x)")
    ] = SecretStr("")
    influx_org: Annotated[str, Field(description="Organisation (2.x)")] = ""
    influx_bucket: Annotated[str, Field(description="Bucket or database")] = "ljusvakt"
    influx_ca_file: Annotated[Path | None, Field(description="CA certificates for InfluxDB")] = None
    retention_days: Annotated[
        int, Field(description="Whole days of raw readings that are kept", ge=35)
    ] = 400


class LedgerSettings(_Section):
    """Assets, incidents, work orders, users."""

    url: Annotated[
        SecretStr,
        Field(description="Empty: SQLite in the data folder; or postgresql+psycopg://..."),
    ] = SecretStr("")
    policy: Annotated[
        str, Field(description="SLA policy: a built-in name or the path of a TOML file")
    ] = "helsingborg"


class RoundSettings(_Section):
    """When and by which rules findings are judged."""

    rules_file: Annotated[Path | None, Field(description="Rules that differ from the defaults")] = (
        None
    )
    enrol: Annotated[bool, Field(description="Accept devices that the registry does not know")] = (
        False
    )
    light_round_minutes: Annotated[
        int, Field(description="Event time between light rounds [min]", ge=5, le=60)
    ] = 10


class HttpSettings(_Section):
    """The API and the pages."""

    host: Annotated[str, Field(description="Address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(description="Port to listen on", ge=1, le=65_535)] = 8000
    public_url: Annotated[
        str, Field(description="Address as people see it, for links and sign-in; empty: this one")
    ] = ""
    max_body_mb: Annotated[int, Field(description="Largest request body [MB]", ge=1, le=1024)] = 20
    secret: Annotated[
        SecretStr,
        Field(description="Signs cursors; one for all replicas. Empty: kept in the data folder"),
    ] = SecretStr("")
    tiles_url: Annotated[str, Field(description="Map tiles; empty: our own streets only")] = ""

    @property
    def address(self) -> str:
        """Where people find the pages."""
        return self.public_url or f"http://{self.host}:{self.port}"


class AccessSettings(_Section):
    """Who may do what."""

    oidc_issuer: Annotated[str, Field(description="OpenID Connect issuer; empty: none")] = ""
    oidc_client_id: Annotated[str, Field(description="Our id at the issuer")] = ""
    oidc_client_secret: Annotated[SecretStr, Field(description="Our secret there")] = SecretStr("")
    session_hours: Annotated[
        int, Field(description="A browser session ends after this [h]", ge=1, le=720)
    ] = 12


class NotifySettings(_Section):
    """Alerts to people."""

    smtp_url: Annotated[
        SecretStr, Field(description="smtp://user:password@host:port; empty: no e-mail")
    ] = SecretStr("")
    smtp_from: Annotated[str, Field(description="Sender of e-mail")] = ""
    apprise: Annotated[
        dict[str, SecretStr], Field(description="Name and apprise address of each channel")
    ] = {}
    webhook_allow: Annotated[
        list[str], Field(description="host:port of receivers on a closed network")
    ] = []


class CaseSettings(_Section):
    """The city's own case system, which gets our orders."""

    url: Annotated[
        str, Field(description="Its Open311 GeoReport v2 address, up to and with /v2; empty: none")
    ] = ""
    name: Annotated[
        str, Field(description="What we call it; cases are remembered by it", min_length=1)
    ] = "city"
    api_key: Annotated[SecretStr, Field(description="Our key there")] = SecretStr("")
    service_code: Annotated[str, Field(description="Its code for a lighting order")] = ""
    jurisdiction_id: Annotated[str, Field(description="Where it asks for one")] = ""
    allow: Annotated[
        list[str], Field(description="host:port, where it is on a closed network")
    ] = []


Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class SituationSettings(_Section):
    """The situation map for the city's meetings."""

    weekdays: Annotated[
        list[Weekday], Field(description="Days on which it is made; empty: only when asked for")
    ] = ["mon", "thu"]
    hour: Annotated[int, Field(description="Local hour at which it is made", ge=0, le=23)] = 7


class Settings(BaseSettings):
    """All settings: a TOML file, overridden by `LJUSVAKT_*`, overridden by the command line.

    A secret may be given as a file: `LJUSVAKT_BROKER__PASSWORD_FILE=/run/secrets/mqtt`.
    """

    model_config = SettingsConfigDict(
        env_prefix="LJUSVAKT_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    data_dir: Annotated[Path, Field(description="Folder for everything the program keeps")] = Path(
        "ljusvakt-data"
    )
    city: Annotated[str, Field(description="Name of the city, as shown")] = "Helsingborg"
    timezone: Annotated[str, Field(description="Local time of the city")] = "Europe/Stockholm"
    lat: Annotated[float, Field(description="Latitude of the city", ge=-90, le=90)] = 56.05
    lon: Annotated[float, Field(description="Longitude of the city", ge=-180, le=180)] = 12.69
    log: Annotated[Literal["auto", "console", "json"], Field(description="Form of the log")] = (
        "auto"
    )
    broker: BrokerSettings = BrokerSettings()
    journal: JournalSettings = JournalSettings()
    store: StoreSettings = StoreSettings()
    ledger: LedgerSettings = LedgerSettings()
    rounds: RoundSettings = RoundSettings()
    http: HttpSettings = HttpSettings()
    access: AccessSettings = AccessSettings()
    notify: NotifySettings = NotifySettings()
    case_system: CaseSettings = CaseSettings()
    situation: SituationSettings = SituationSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments alone: `load_settings` lays file, environment and command line together."""
        return (init_settings,)

    @property
    def ledger_url(self) -> str:
        """Where the ledger is, embedded or not."""
        return self.ledger.url.get_secret_value() or f"sqlite:///{self.data_dir / 'ops.db'}"


def load_settings(
    config: Path | None = None, *, overrides: dict[str, Any] | None = None
) -> Settings:
    """Settings from a file, the environment and the command line, or a clear refusal.

    Parameters
    ----------
    config : Path, optional
        A TOML file; where none is given, `LJUSVAKT_CONFIG` names one, or there is none.
    overrides : dict, optional
        What the command line says, nested like the file; None values say nothing.

    Raises
    ------
    BadInputError
        Naming the file and line, or the variable, and what is allowed there.
    """
    path = config or (Path(p) if (p := os.environ.get("LJUSVAKT_CONFIG")) else None)
    text = _read(path) if path else ""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"{path}: {error}", remedy="Mend the TOML there.") from error
    known = _environment_names()
    for name in os.environ:
        if name.startswith("LJUSVAKT_") and name not in known:
            raise BadInputError(
                f"environment variable {name} is no setting",
                remedy="docs/settings.md lists them all; unset it or mend its name.",
            )
    try:
        with _secrets_from_files():
            environment = EnvSettingsSource(Settings)()
        return Settings(**_merge(_merge(values, environment), overrides or {}))
    except ValidationError as error:
        raise BadInputError(
            _explain(error, path, text), remedy="docs/settings.md says what is allowed."
        ) from error
    except SettingsError as error:
        raise BadInputError(
            f"the environment: {error}", remedy="Lists are written as JSON there."
        ) from error


# Read elsewhere than in Settings, so they are no unknown settings.
_OTHER_VARIABLES = {
    "LJUSVAKT_CONFIG",
    "LJUSVAKT_DEBUG",
    "LJUSVAKT_DATA",
    "LJUSVAKT_LONG",
    "LJUSVAKT_REQUIRE_SERVERS",
    "LJUSVAKT_SCREENSHOT",
    "LJUSVAKT_INFLUXD",
    "LJUSVAKT_INFLUX_URL",
    "LJUSVAKT_INFLUX_TOKEN",
    "LJUSVAKT_INFLUX_ORG",
    "LJUSVAKT_INFLUX_BUCKET",
}


def _sections() -> Iterator[tuple[str, type[_Section]]]:
    for key, setting in Settings.model_fields.items():
        if isinstance(setting.annotation, type) and issubclass(setting.annotation, _Section):
            yield key, setting.annotation


_SECRET_FILES = {
    f"LJUSVAKT_{section.upper()}__{name.upper()}_FILE"
    for section, fields in _sections()
    for name, field in fields.model_fields.items()
    if field.annotation is SecretStr
}


def _environment_names() -> set[str]:
    names = _OTHER_VARIABLES | _SECRET_FILES
    names |= {f"LJUSVAKT_{key.upper()}" for key in Settings.model_fields}
    for section, fields in _sections():
        names |= {f"LJUSVAKT_{section.upper()}__{name.upper()}" for name in fields.model_fields}
    return names


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInputError(
            f"the config file {path} cannot be read: {error.strerror}",
            remedy="Name a readable TOML file.",
        ) from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path} is not UTF-8", remedy="Save it as UTF-8.") from error


@contextmanager
def _secrets_from_files() -> Generator[None]:
    """`X_FILE=/path` stands for `X=<content>` while the environment is read."""
    given = {name: os.environ[name] for name in _SECRET_FILES if name in os.environ}
    stand_ins = {
        name.removesuffix("_FILE"): _secret(name, Path(path)) for name, path in given.items()
    }
    for name in given:
        del os.environ[name]
    os.environ.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del os.environ[name]
        os.environ.update(given)


def _secret(variable: str, path: Path) -> str:
    try:
        if path.stat().st_mode & stat.S_IROTH:
            raise BadInputError(
                f"{variable}: everybody can read the secret in {path}", remedy="chmod 600 it."
            )
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadInputError(
            f"{variable}: {path} cannot be read: {error.strerror}", remedy="Name a readable file."
        ) from error


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, dict):
            merged[key] = _merge(merged.get(key, {}), value)
        elif value is not None:
            merged[key] = value
    return merged


def _explain(error: ValidationError, path: Path | None, text: str) -> str:
    said: list[str] = []
    for problem in error.errors():
        keys = [str(k) for k in problem["loc"]]
        line = _line_of(keys[-1], text)
        variable = "LJUSVAKT_" + "__".join(k.upper() for k in keys)
        if line is not None:
            where = f"{path}:{line}"
        elif variable in os.environ:
            where = variable
        else:
            where = "the command line"
        unknown = problem["type"] == "extra_forbidden"
        said.append(
            f"{where}: {'.'.join(keys)}: {'no such setting' if unknown else problem['msg']}"
        )
    return "; ".join(said)


def _line_of(key: str, text: str) -> int | None:
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(rf'\s*\[?"?{re.escape(key)}"?\s*[=\]]', line):
            return number
    return None

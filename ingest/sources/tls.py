"""How the broker is known and we are known to it, and what to do when that fails."""

import ssl
from pathlib import Path
from typing import Final

from ingest.errors import SettingsError
from ingest.settings import MqttSettings, TlsSettings

__all__ = ["tls_context", "trouble"]

# Why OpenSSL refuses a certificate: X509_V_ERR_* of x509_vfy.h.
NOT_YET_VALID: Final = 9
EXPIRED: Final = 10
UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21})
ANOTHER_NAME: Final = frozenset({62, 64})
REVOKED: Final = 23
LIST_OF_ANOTHER: Final = frozenset({3, 8, 44})
LIST_NOT_YET_VALID: Final = 11
LIST_EXPIRED: Final = 12


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """A context that checks the broker's name and certificate; TLS 1.2 and later.

    Raises
    ------
    SettingsError
        If a file cannot be used; names it.
    """
    try:
        context = ssl.create_default_context(
            cafile=str(settings.ca_file) if settings.ca_file else None
        )
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"ca_file {settings.ca_file} cannot be used: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.crl_file is not None:
        _look_at_revoked(context, settings.crl_file)
    if settings.cert_file is not None:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"cert_file {settings.cert_file} with key_file {settings.key_file} "
                f"cannot be used: {error}"
            ) from error
    return context


def _look_at_revoked(context: ssl.SSLContext, crl_file: Path) -> None:
    """Refuse a broker's certificate that stands in this list, or that no valid list speaks of."""
    alone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        alone.load_verify_locations(crl_file)
        holds = alone.cert_store_stats()
    except ssl.SSLError:
        holds = {"crl": 0, "x509": 0}
    except OSError as error:
        raise SettingsError(
            f"crl_file {crl_file} cannot be read: {error.strerror or error}; fetch the list from "
            "the authority that signs the broker's certificate, or leave broker.crl_file out"
        ) from error
    if not holds["crl"]:
        raise SettingsError(
            f"crl_file {crl_file} holds no list of revoked certificates in PEM; "
            "one in DER becomes one by: openssl crl -inform DER -in FILE -out FILE.pem"
        )
    if holds["x509"]:
        # They would be trusted like those of ca_file.
        raise SettingsError(
            f"crl_file {crl_file} holds certificates besides the list: put them into broker.ca_file"
        )
    context.load_verify_locations(crl_file)
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def trouble(error: BaseException, settings: MqttSettings) -> str:
    """What went wrong with a connection, in one line; with the remedy where TLS tells the cause."""
    told = ""
    if isinstance(error, ssl.SSLCertVerificationError):
        told = _about_theirs(error, settings)
    elif isinstance(error, ssl.SSLError):
        told = _about_ours(error.reason or "", settings)
    return told or str(error) or type(error).__name__


def _about_theirs(error: ssl.SSLCertVerificationError, settings: MqttSettings) -> str:
    whose = f"the certificate of the broker {settings.host}:{settings.port}"
    code = error.verify_code
    if code == EXPIRED:
        return f"{whose} has expired: renew it there"
    if code == NOT_YET_VALID:
        return f"{whose} is not valid yet: set the clocks of both machines, or renew it there"
    if code == REVOKED:
        return f"{whose} was revoked by its authority: trust it no more, give the broker a new one"
    if code in LIST_OF_ANOTHER | {LIST_EXPIRED, LIST_NOT_YET_VALID}:
        return f"{whose} cannot be checked: {_about_the_list(code, settings)}"
    if code in ANOTHER_NAME:
        return f"{whose} is made out to another name: set broker.url to a name that stands in it"
    if code in UNKNOWN_AUTHORITY:
        ca_file = settings.tls.ca_file if settings.tls else None
        return (
            f"{whose} is signed by nobody in {ca_file or 'the list of the operating system'}: "
            "set broker.ca_file to the certificate of its authority"
        )
    return f"{whose} is refused: {error.verify_message}"


def _about_the_list(code: int, settings: MqttSettings) -> str:
    crl_file = settings.tls.crl_file if settings.tls else None
    if code == LIST_EXPIRED:
        return f"the list in {crl_file} is out of date: fetch the newest from its authority"
    if code == LIST_NOT_YET_VALID:
        return f"the list in {crl_file} is not valid yet: set the clock of this machine"
    return (
        f"{crl_file} holds no list of its authority: "
        "set broker.crl_file to the list of the authority that signed it"
    )


def _about_ours(alert: str, settings: MqttSettings) -> str:
    """What the broker says of our certificate, by OpenSSL's name of its alert (RFC 8446, 6.2)."""
    tls = settings.tls
    whose = f"our certificate {tls.cert_file if tls else None}"
    if alert.endswith("ALERT_CERTIFICATE_EXPIRED"):
        # A list of revoked certificates that is out of date is told by the same alert.
        return (
            f"{whose} or the broker's list of revoked ones has expired, says the broker: "
            "renew it, or set the clocks right"
        )
    if alert.endswith("ALERT_CERTIFICATE_REVOKED"):
        return f"{whose} was revoked, says the broker: get a new one from its authority"
    if alert.endswith("ALERT_CERTIFICATE_REQUIRED"):
        return (
            "the broker asks for a certificate of ours: set broker.certificate_file and "
            "broker.key_file"
        )
    if alert.endswith(("ALERT_UNKNOWN_CA", "ALERT_BAD_CERTIFICATE", "ALERT_CERTIFICATE_UNKNOWN")):
        return f"{whose} is not accepted by the broker: have it signed by an authority it knows"
    return ""

"""How the broker is known and we are known to it, and what to do when that fails."""

import ssl
from typing import Final

from ingest.errors import SettingsError
from ingest.settings import MqttSettings, TlsSettings

__all__ = ["tls_context", "trouble"]

# Why OpenSSL refuses a certificate: X509_V_ERR_* of x509_vfy.h.
NOT_YET_VALID: Final = 9
EXPIRED: Final = 10
UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21})
ANOTHER_NAME: Final = frozenset({62, 64})


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
    if settings.cert_file is not None:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"cert_file {settings.cert_file} with key_file {settings.key_file} "
                f"cannot be used: {error}"
            ) from error
    return context


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
    if code in ANOTHER_NAME:
        return f"{whose} is made out to another name: set broker.url to a name that stands in it"
    if code in UNKNOWN_AUTHORITY:
        ca_file = settings.tls.ca_file if settings.tls else None
        return (
            f"{whose} is signed by nobody in {ca_file or 'the list of the operating system'}: "
            "set broker.ca_file to the certificate of its authority"
        )
    return f"{whose} is refused: {error.verify_message}"


def _about_ours(alert: str, settings: MqttSettings) -> str:
    """What the broker says of our certificate, by OpenSSL's name of its alert (RFC 8446, 6.2)."""
    tls = settings.tls
    whose = f"our certificate {tls.cert_file if tls else None}"
    if alert.endswith("ALERT_CERTIFICATE_EXPIRED"):
        return f"{whose} has expired, says the broker: renew it, or set the clocks right"
    if alert.endswith("ALERT_CERTIFICATE_REQUIRED"):
        return (
            "the broker asks for a certificate of ours: set broker.certificate_file and "
            "broker.key_file"
        )
    if alert.endswith(("ALERT_UNKNOWN_CA", "ALERT_BAD_CERTIFICATE", "ALERT_CERTIFICATE_UNKNOWN")):
        return f"{whose} is not accepted by the broker: have it signed by an authority it knows"
    return ""

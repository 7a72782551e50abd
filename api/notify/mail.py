"""E-mail by SMTP."""

import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from typing import Literal

from api.notify.errors import DeliveryError
from api.notify.messages import lines_of, subject_of
from api.operations.alerts import Message

__all__ = ["MailNotifier", "MailSettings", "check_mail_address"]


@dataclass(frozen=True, slots=True)
class MailSettings:
    """Where mail is handed in.

    Attributes
    ----------
    security : str
        "starttls", "tls" or "none" (a relay on the same machine).
    """

    host: str
    port: int
    sender: str
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: str = ""
    timeout_s: float = 20.0


def check_mail_address(address: str) -> str:
    """The address, if it is one and nothing more.

    Raises
    ------
    DeliveryError
    """
    plain = parseaddr(address)[1]
    if plain != address or "@" not in plain or not plain.isprintable() or " " in plain:
        raise DeliveryError(f"{address[:100]!r} is no mail address.", for_good=True)
    return plain


class MailNotifier:
    """Sends plain text mail.

    Parameters
    ----------
    settings : MailSettings
    base_url : str
        For links to the pages.
    timezone : str
        Of the times in the text.
    """

    def __init__(
        self,
        settings: MailSettings,
        *,
        base_url: str = "",
        timezone: str = "Europe/Stockholm",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._base_url = base_url
        self._timezone = timezone
        self._tls = tls

    def send(self, message: Message) -> None:
        """Hand it in; the Message-ID is the same at every try, so readers see it once.

        Raises
        ------
        DeliveryError
        """
        s = self._settings
        mail = EmailMessage()
        mail["From"] = s.sender
        mail["To"] = check_mail_address(message.recipient.address)
        mail["Subject"] = subject_of(message)
        mail["Date"] = formatdate()
        domain = s.sender.rpartition("@")[2] or "ljusvakt.invalid"
        mail["Message-ID"] = f"<{message.id}.{message.recipient.id}@{domain}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers, please
        mail.set_content(lines_of(message, base_url=self._base_url, timezone=self._timezone))
        try:
            with self._server() as server:
                if s.security == "starttls":
                    server.starttls(context=self._tls or ssl.create_default_context())
                if s.user:
                    server.login(s.user, s.password)
                server.send_message(mail)
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused) as error:
            raise DeliveryError(f"mail: {error}", for_good=refused_for_good(error)) from error
        except (OSError, smtplib.SMTPException) as error:
            raise DeliveryError(f"mail: {error}") from error

    def _server(self) -> smtplib.SMTP:
        s = self._settings
        if s.security == "tls":
            context = self._tls or ssl.create_default_context()
            return smtplib.SMTP_SSL(s.host, s.port, timeout=s.timeout_s, context=context)
        return smtplib.SMTP(s.host, s.port, timeout=s.timeout_s)


def refused_for_good(
    error: smtplib.SMTPRecipientsRefused | smtplib.SMTPSenderRefused,
) -> bool:
    """5xx is a final word; 4xx (greylisting, a full box) is not."""
    if isinstance(error, smtplib.SMTPSenderRefused):
        return int(error.smtp_code) >= 500
    return all(code >= 500 for code, _ in error.recipients.values())

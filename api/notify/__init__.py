"""Alerts out: webhook, e-mail, apprise; each a `Notifier`."""

from api.notify.dispatch import Dispatched, Dispatcher
from api.notify.errors import DeliveryError, RefusedAddressError
from api.notify.mail import MailNotifier, MailSettings
from api.notify.outgoing import Outgoing
from api.notify.webhook import WebhookNotifier

__all__ = [
    "DeliveryError",
    "Dispatched",
    "Dispatcher",
    "MailNotifier",
    "MailSettings",
    "Outgoing",
    "RefusedAddressError",
    "WebhookNotifier",
]

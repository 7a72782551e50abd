"""SMS gateways, Teams, ntfy and many more by apprise, where it is installed."""

from typing import Any, cast

from api.notify.errors import DeliveryError
from api.notify.messages import lines_of, subject_of
from api.operations.alerts import Message

__all__ = ["AppriseNotifier"]


class AppriseNotifier:
    """Sends by apprise.

    Its URLs reach anything (`json://10.0.0.1` too), so they come from the platform's settings only:
    a recipient's address is the name of one of them.

    Parameters
    ----------
    targets : mapping of str to str
        apprise URL by name.
    """

    def __init__(
        self,
        targets: dict[str, str],
        *,
        base_url: str = "",
        timezone: str = "Europe/Stockholm",
    ) -> None:
        self._targets = dict(targets)
        self._base_url = base_url
        self._timezone = timezone

    def send(self, message: Message) -> None:
        """Hand it to apprise.

        Raises
        ------
        DeliveryError
        """
        url = self._targets.get(message.recipient.address)
        if url is None:
            raise DeliveryError(
                f"no apprise target {message.recipient.address!r} in the settings.", for_good=True
            )
        try:
            import apprise  # late: importing it takes about a second
        except ModuleNotFoundError as error:
            raise DeliveryError(
                "apprise is not installed; install ljusvakt[notify].", for_good=True
            ) from error
        sender = cast("Any", apprise.Apprise())
        if not sender.add(url):
            raise DeliveryError("apprise cannot use this target.", for_good=True)
        body = lines_of(message, base_url=self._base_url, timezone=self._timezone)
        if not sender.notify(title=subject_of(message), body=body):
            raise DeliveryError("apprise did not deliver.")

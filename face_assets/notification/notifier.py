"""Notifier of the sensors: reports causes that fire or are resolved, and sends what could not be sent before."""

import logging
from collections.abc import Callable, Sequence

from face_assets.core.errors import UserError
from face_assets.core.settings import Settings
from face_assets.notification.body import DEFAULT_BODY
from face_assets.notification.channels import Channel, Email, Slack, Webhook
from face_assets.notification.ledger import Ledger
from face_assets.notification.message import Message

Log = Callable[[str], None]
to_the_log: Log = logging.getLogger(__name__).warning


def queue_firing(settings: Settings, message: Message, log: Log) -> None:
    """Queues the message of a cause that fires; the next sender sends it. Never raises, for the sensor has more to do."""
    try:
        Ledger(settings.home).fire(message, tuple(channels(settings)))
    except (UserError, OSError) as error:
        log(f"{message.title}: not queued: {error}")


def queue_resolved(settings: Settings, message: Message, log: Log) -> None:
    """Queues the message that its cause is resolved; the next sender sends it. Never raises."""
    try:
        Ledger(settings.home).resolve(message, (), tuple(channels(settings)), None)
    except (UserError, OSError) as error:
        log(f"{message.title}: not queued: {error}")


def report_firing(settings: Settings, message: Message, log: Log = to_the_log) -> bool:
    """Notifies people of the message's cause, once until it is resolved. Returns True where the cause is new.

    A failure of a channel is logged, and its message is kept and sent again. Without a channel only the ledger is written.
    """
    ways = channels(settings)
    is_new = Ledger(settings.home).fire(message, tuple(ways))
    send_unsent(settings, log)
    return is_new


def report_resolved(
    settings: Settings, message: Message, causes: Sequence[str] = (), before: float | None = None, log: Log = to_the_log
) -> list[Message]:
    """Notifies people, in one message, that causes are resolved: `causes` (by default the message's own) and those below them.

    Sends nothing when none of them fires. `before` keeps later ones firing. Returns the messages of the causes that are resolved.
    """
    ways = channels(settings)
    closed = Ledger(settings.home).resolve(message, causes, tuple(ways), before)
    send_unsent(settings, log)
    return closed


def send_unsent(settings: Settings, log: Log = to_the_log) -> None:
    """Sends waiting messages to the channels that have not accepted them."""
    for failure in Ledger(settings.home).send(channels(settings)):
        log(failure)


def channels(settings: Settings) -> dict[str, Channel]:
    """Returns the channels of the settings; none by default."""
    found: dict[str, Channel] = {}
    if settings.notify_webhook:
        found["webhook"] = Webhook(settings.notify_webhook.get_secret_value(), settings.notify_webhook_body or DEFAULT_BODY)
    if settings.notify_slack:
        found["slack"] = Slack(settings.notify_slack.get_secret_value())
    if settings.notify_smtp and settings.notify_from and settings.notify_to:
        found["email"] = Email(settings.notify_smtp.get_secret_value(), settings.notify_from, settings.notify_to.split(","))
    return found

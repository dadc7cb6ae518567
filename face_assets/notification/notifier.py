"""What sensors call: a problem, a problem that is over, and another try at what could not be sent."""

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


def queue_problem(settings: Settings, message: Message, log: Log) -> None:
    """As `report_problem`, but leaves the sending to whoever sends next, and never raises: for sensors that have more to do."""
    try:
        Ledger(settings.home).problem(message, tuple(channels(settings)))
    except (UserError, OSError) as error:
        log(f"{message.title}: cannot be told: {error}")


def queue_well(settings: Settings, message: Message, log: Log) -> None:
    """As `report_well`, but leaves the sending to whoever sends next, and never raises."""
    try:
        Ledger(settings.home).well(message, (), tuple(channels(settings)), None)
    except (UserError, OSError) as error:
        log(f"{message.title}: cannot be told: {error}")


def report_problem(settings: Settings, message: Message, log: Log = to_the_log) -> bool:
    """Tells people of the message's cause, once until it is well again. Returns whether the cause is new.

    What a channel does not take is logged, kept and tried again; without a channel only the ledger is kept.
    """
    ways = channels(settings)
    is_new = Ledger(settings.home).problem(message, tuple(ways))
    send_unsent(settings, log)
    return is_new


def report_well(
    settings: Settings, message: Message, causes: Sequence[str] = (), before: float | None = None, log: Log = to_the_log
) -> list[Message]:
    """Tells people, in one message, that problems are over: `causes` (without them the message's own) and those below them.

    Says nothing when none is open. `before` leaves later problems open. Returns the problems that are over.
    """
    ways = channels(settings)
    closed = Ledger(settings.home).well(message, causes, tuple(ways), before)
    send_unsent(settings, log)
    return closed


def send_unsent(settings: Settings, log: Log = to_the_log) -> None:
    """Hands messages that wait to the channels that have not taken them."""
    for trouble in Ledger(settings.home).send(channels(settings)):
        log(trouble)


def channels(settings: Settings) -> dict[str, Channel]:
    """The channels that the settings name; none by default."""
    found: dict[str, Channel] = {}
    if settings.notify_webhook:
        found["webhook"] = Webhook(settings.notify_webhook.get_secret_value(), settings.notify_webhook_body or DEFAULT_BODY)
    if settings.notify_slack:
        found["slack"] = Slack(settings.notify_slack.get_secret_value())
    if settings.notify_smtp and settings.notify_from and settings.notify_to:
        found["email"] = Email(settings.notify_smtp.get_secret_value(), settings.notify_from, settings.notify_to.split(","))
    return found

"""Channels of notification: webhook, Slack, e-mail. Their errors name the receiver, never a token or a password."""

import base64
import html
import http.client
import logging
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any, Protocol
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from face_assets.core.errors import UserError
from face_assets.notification.body import DEFAULT_BODY, filled_body
from face_assets.notification.message import Message

SECONDS = 5
LONGEST_SLACK = 10_000
LOOPBACK = ("localhost", "127.0.0.1", "::1")
FAILURES = (OSError, http.client.HTTPException, ValueError)  # their own texts may contain the URL


class Channel(Protocol):
    """A channel of notification."""

    def send(self, message: Message) -> None:
        """Sends. Raises UserError when the receiver did not accept the message."""


@dataclass(frozen=True)
class Webhook:
    """POSTs JSON made of a template to a URL. A user and password in the URL become HTTP basic authentication."""

    url: str = field(repr=False)
    body: str = DEFAULT_BODY

    def send(self, message: Message) -> None:
        """Sends. Raises UserError when the receiver does not respond with a status of 2xx."""
        parts = urlsplit(self.url)
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "face-assets", **_basic_authentication(parts)}
        address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        body = filled_body(self.body, message)
        failure = ""
        try:
            request = urllib.request.Request(address, body, headers, method="POST")
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=SECONDS):
                pass
        except FAILURES as error:
            failure = _description(error)
        if failure:
            raise UserError(f"The webhook at {parts.hostname} did not accept the message: {failure}.")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Rejects redirects: a redirected POST would become a GET without its body, and seem sent."""

    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        """Leaves the redirect to be raised as an HTTPError."""
        return


def _basic_authentication(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


@dataclass(frozen=True)
class Slack:
    """Posts text to a Slack incoming webhook."""

    url: str = field(repr=False)

    def send(self, message: Message) -> None:
        """Sends. Raises UserError when Slack does not accept the message."""
        from slack_sdk.errors import SlackClientError
        from slack_sdk.webhook import WebhookClient

        silent = logging.Logger("slack", logging.CRITICAL + 1)  # the library's own logger would write the URL
        client = WebhookClient(self.url, timeout=SECONDS, logger=silent, retry_handlers=[])  # the ledger sends again
        failure = ""
        try:
            response = client.send(text=html.escape(message.text(), quote=False)[:LONGEST_SLACK])
            if response.status_code != 200:
                failure = f"it responded with {response.status_code}"
        except (*FAILURES, SlackClientError) as error:
            failure = _description(error)
        if failure:
            raise UserError(f"Slack at {urlsplit(self.url).hostname} did not accept the message: {failure}.")


@dataclass(frozen=True)
class Email:
    """Sends mail through an SMTP server: smtp://[user:password@]host[:port], or smtps:// for TLS from the start.

    With a user, STARTTLS is used where the server offers it. Without STARTTLS a password is sent to this machine only.
    """

    url: str = field(repr=False)
    sender: str
    recipients: Sequence[str]

    def send(self, message: Message) -> None:
        """Sends. Raises UserError when the server rejects the login, the sender or every recipient."""
        mail = EmailMessage()
        mail["Subject"] = f"{message.kind.capitalize()}: {message.title}"
        mail["From"], mail["To"] = self.sender, ", ".join(self.recipients)
        mail["Date"], mail["Message-ID"] = formatdate(message.time), make_msgid(domain="face-assets")
        mail.set_content(message.text())
        failure = ""
        try:
            self._deliver(mail)
        except FAILURES as error:
            failure = _description(error)
        if failure:
            raise UserError(f"The mail server {urlsplit(self.url).hostname} did not accept the message: {failure}.")

    def _deliver(self, mail: EmailMessage) -> None:
        parts = urlsplit(self.url)
        host, secure = parts.hostname or "", parts.scheme == "smtps"
        port = parts.port or (465 if secure else 587 if parts.username else 25)
        with smtplib.SMTP_SSL(host, port, timeout=SECONDS) if secure else smtplib.SMTP(host, port, timeout=SECONDS) as server:
            if parts.username:
                server.ehlo()
                if not secure and server.has_extn("starttls"):
                    server.starttls(context=ssl.create_default_context())
                elif not secure and host not in LOOPBACK:
                    raise smtplib.SMTPNotSupportedError("it offers no STARTTLS, and a password does not go in the clear: use smtps://")
                server.login(unquote(parts.username), unquote(parts.password or ""))
            rejected = server.send_message(mail)
        if rejected:
            logging.getLogger(__name__).warning("The mail server %s rejected some recipients: %s", host, ", ".join(rejected))


def _description(error: Exception) -> str:
    """Returns a description of the error without any part of a URL or a login."""
    match error:
        case urllib.error.HTTPError():
            return f"it responded with {error.code} {http.client.responses.get(error.code, '')}".strip()
        case urllib.error.URLError(reason=OSError() as reason):
            return _description(reason)
        case smtplib.SMTPAuthenticationError():
            return f"it rejected the user or the password ({error.smtp_code})"
        case smtplib.SMTPRecipientsRefused():
            return f"it rejected every recipient ({', '.join(error.recipients)})"
        case smtplib.SMTPResponseException():
            return f"it responded with {error.smtp_code}"
        case smtplib.SMTPNotSupportedError():
            return str(error)
        case smtplib.SMTPServerDisconnected():
            return f"it ended the connection, or sent nothing for {SECONDS} s"
        case TimeoutError():
            return f"no response within {SECONDS} s"
        case ssl.SSLError():
            return f"TLS failed ({error.reason or getattr(error, 'verify_message', '')})"
        case OSError(strerror=str(words)) if not isinstance(error, smtplib.SMTPException):
            return words
    return type(error).__name__

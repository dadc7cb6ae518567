"""Each channel against a real server: the message that arrives, and errors without secrets."""

import base64
import logging
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from face_assets.core.errors import UserError
from face_assets.notification import channels
from face_assets.notification.channels import Channel, Email, Slack, Webhook
from face_assets.notification.message import Message
from tests.far_end import FarEnd

SECRET = "s3cret-t0ken"


def _refusal(channel: Channel, message: Message, caplog: pytest.LogCaptureFixture) -> str:
    """The sentence that is raised; neither it nor what led to it nor the log holds the secret."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(UserError) as error:
        channel.send(message)
    assert error.value.__cause__ is None
    assert error.value.__context__ is None
    assert SECRET not in f"{error.value} {caplog.text} {channel!r}"
    return str(error.value)


def test_a_webhook_gets_the_filled_body_as_json(far_end: FarEnd, problem: Message) -> None:
    Webhook(far_end.url(f"/{SECRET}"), '{"text": "{reason}", "figures": "{figures}"}').send(problem)
    assert far_end.posts == [{"text": problem.reason, "figures": {"auc": 0.71, "tar": {"0.001": 0.7}, "odd": "nan"}}]
    assert far_end.headers[0]["Content-Type"].startswith("application/json")


def test_user_and_password_of_a_webhook_go_as_basic_authentication(far_end: FarEnd, problem: Message) -> None:
    Webhook(f"http://ann:{SECRET}%40@127.0.0.1:{far_end.port}/").send(problem)
    assert base64.b64decode(far_end.headers[0]["Authorization"].removeprefix("Basic ")) == f"ann:{SECRET}@".encode()


@pytest.mark.parametrize(("status", "said"), [(500, "500 Internal Server Error"), (404, "404 Not Found"), (302, "302 Found")])
def test_a_webhook_that_does_not_take_the_message_is_a_sentence(
    far_end: FarEnd, problem: Message, caplog: pytest.LogCaptureFixture, status: int, said: str
) -> None:
    far_end.status = status
    refusal = _refusal(Webhook(far_end.url(f"/{SECRET}")), problem, caplog)
    assert refusal == f"The webhook at 127.0.0.1 did not accept the message: it responded with {said}."


def test_far_ends_that_are_down_are_named(far_end: FarEnd, problem: Message, caplog: pytest.LogCaptureFixture) -> None:
    far_end.down()
    assert "Connection refused" in _refusal(Webhook(f"http://ann:{SECRET}@127.0.0.1:{far_end.port}/{SECRET}"), problem, caplog)
    assert "Connection refused" in _refusal(Slack(far_end.url(f"/{SECRET}")), problem, caplog)
    assert "Connection refused" in _refusal(Email(f"smtp://ann:{SECRET}@127.0.0.1:{far_end.port}", "a@b.c", ["d@e.f"]), problem, caplog)


def test_a_far_end_that_does_not_answer_is_not_waited_for(
    far_end: FarEnd, problem: Message, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "SECONDS", 1)
    far_end.may_answer.clear()
    assert "no response within 1 s" in _refusal(Webhook(far_end.url(f"/{SECRET}")), problem, caplog)
    assert "no response within 1 s" in _refusal(Slack(far_end.url(f"/{SECRET}")), problem, caplog)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mail = Email(f"smtp://ann:{SECRET}@127.0.0.1:{silent.getsockname()[1]}", "a@b.c", ["d@e.f"])
        assert "sent nothing for 1 s" in _refusal(mail, problem, caplog)


def test_slack_gets_the_text_with_its_own_signs_escaped(far_end: FarEnd, problem: Message) -> None:
    Slack(far_end.url(f"/services/{SECRET}")).send(problem)
    text = far_end.posts[0]["text"]
    assert text.startswith("Firing: embedder_evaluation: gate refused commit 1234 (main)")
    assert "Ann Österreicher &lt;ann@example.org&gt;" in text
    assert '"floor" 0.9\nand worse' in text


@pytest.mark.parametrize("status", [404, 503])
def test_slack_that_refuses_is_a_sentence(far_end: FarEnd, problem: Message, caplog: pytest.LogCaptureFixture, status: int) -> None:
    far_end.status = status
    assert str(status) in _refusal(Slack(far_end.url(f"/services/{SECRET}")), problem, caplog)


class Mailbox:
    """Keeps the mails that a server took."""

    def __init__(self) -> None:
        self.mails: list[tuple[EmailMessage, list[str], bool]] = []

    async def handle_RCPT(self, _: Any, session: Any, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802
        if address.startswith("nobody"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=default)
        self.mails.append((mail, list(envelope.rcpt_tos), session.ssl is not None))  # type: ignore[arg-type]
        return "250 taken"


def _knows(server: Any, session: Any, envelope: Envelope, mechanism: str, login: LoginPassword) -> AuthResult:
    return AuthResult(success=login.password == SECRET.encode(), handled=False)


@contextmanager
def _mail_server(mailbox: Mailbox, port: int, host: str = "127.0.0.1", **options: Any) -> Iterator[None]:
    server = Controller(mailbox, hostname=host, port=port, ready_timeout=60, **options)
    server.start()
    try:
        yield
    finally:
        server.stop()


@pytest.fixture
def port(free_ports: Callable[[int], list[int]]) -> int:
    return free_ports(1)[0]


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's TLS for 127.0.0.1, by an authority that this process trusts."""
    pem = tmp_path / "server.pem"
    names = ["-subj", "/CN=mail", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-keyout",
        str(pem),
        "-out",
        str(tmp_path / "cert.pem"),
        *names,
    ]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    return context


def test_mail_reaches_everybody_with_title_and_text(problem: Message, port: int) -> None:
    mailbox = Mailbox()
    with _mail_server(mailbox, port):
        Email(f"smtp://127.0.0.1:{port}", "Platform <faces@example.org>", ["a@example.org", "b@example.org"]).send(problem)
    mail, recipients, _ = mailbox.mails[0]
    assert recipients == ["a@example.org", "b@example.org"]
    assert mail["Subject"] == "Firing: embedder_evaluation: gate refused commit 1234 (main)"
    assert mail["From"] == "Platform <faces@example.org>"
    assert mail.get_content().splitlines() == problem.text().splitlines()


def test_a_recipient_whom_the_server_does_not_know_keeps_it_from_nobody_else(
    problem: Message, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    mailbox = Mailbox()
    with _mail_server(mailbox, port):
        Email(f"smtp://127.0.0.1:{port}", "f@example.org", ["nobody@example.org", "b@example.org"]).send(problem)
        refusal = _refusal(Email(f"smtp://127.0.0.1:{port}", "f@example.org", ["nobody@example.org"]), problem, caplog)
    assert mailbox.mails[0][1] == ["b@example.org"]
    assert "nobody@example.org" in caplog.text
    assert "nobody@example.org" in refusal


def test_a_login_goes_over_starttls(problem: Message, port: int, certificate: ssl.SSLContext) -> None:
    mailbox = Mailbox()
    with _mail_server(mailbox, port, tls_context=certificate, require_starttls=True, authenticator=_knows, auth_required=True):
        Email(f"smtp://ann:{SECRET}@127.0.0.1:{port}", "f@example.org", ["a@example.org"]).send(problem)
    assert mailbox.mails[0][2]


def test_smtps_is_tls_from_the_start(problem: Message, port: int, certificate: ssl.SSLContext) -> None:
    mailbox = Mailbox()
    with _mail_server(mailbox, port, ssl_context=certificate, authenticator=_knows, auth_require_tls=False):
        Email(f"smtps://ann:{SECRET}@127.0.0.1:{port}", "f@example.org", ["a@example.org"]).send(problem)
    assert len(mailbox.mails) == 1


def test_a_certificate_that_is_not_trusted_gets_no_password(
    problem: Message, port: int, certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    mailbox = Mailbox()
    with _mail_server(mailbox, port, tls_context=certificate, authenticator=_knows):
        mail = Email(f"smtp://ann:{SECRET}@127.0.0.1:{port}", "f@example.org", ["a@example.org"])
        assert "TLS failed" in _refusal(mail, problem, caplog)
    assert mailbox.mails == []


def test_a_wrong_password_is_named_as_one_without_being_told(problem: Message, port: int, caplog: pytest.LogCaptureFixture) -> None:
    with _mail_server(Mailbox(), port, authenticator=_knows, auth_require_tls=False):
        mail = Email(f"smtp://ann:not-{SECRET}@127.0.0.1:{port}", "f@example.org", ["a@example.org"])
        assert "it rejected the user or the password (535)" in _refusal(mail, problem, caplog)


def test_a_password_does_not_leave_the_machine_in_the_clear(problem: Message, port: int, caplog: pytest.LogCaptureFixture) -> None:
    mailbox = Mailbox()
    with _mail_server(mailbox, port, host="127.0.0.2", authenticator=_knows, auth_require_tls=False):
        mail = Email(f"smtp://ann:{SECRET}@127.0.0.2:{port}", "f@example.org", ["a@example.org"])
        assert "no STARTTLS" in _refusal(mail, problem, caplog)
    assert mailbox.mails == []

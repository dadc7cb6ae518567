"""The webhook's body is JSON whatever a message holds, and a template that cannot be filled is refused at once."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from face_assets.core.errors import UserError
from face_assets.core.files import write_json
from face_assets.core.message_template import NAMES
from face_assets.core.settings import load_settings
from face_assets.notification.body import DEFAULT_BODY, filled_body
from face_assets.notification.message import LONGEST_REASON, Message


def test_quotes_newlines_backslashes_and_braces_of_values_stay_values(problem: Message) -> None:
    body = filled_body('{"msg": "{kind}: {reason} by {author}", "{asset}": ["{commit}", 3, null]}', problem)
    assert json.loads(body) == {
        "msg": f"firing: {problem.reason} by {problem.author}",
        "embedder_evaluation": ["1234", 3, None],
    }


def test_a_placeholder_alone_is_the_value_itself_and_within_a_text_its_json(problem: Message) -> None:
    body = json.loads(filled_body('{"figures": "{figures}", "line": "figures {figures}", "braces": "{{title}}"}', problem))
    assert body["figures"] == {"auc": 0.71, "tar": {"0.001": 0.7}, "odd": "nan"}
    assert json.loads(body["line"].removeprefix("figures ")) == body["figures"]
    assert body["braces"] == "{title}"


def test_the_default_body_tells_everything(problem: Message) -> None:
    body = json.loads(filled_body(DEFAULT_BODY, problem))
    assert set(body) == set(NAMES)
    assert body["time"] == "2023-11-14T22:13:20Z"
    assert body["text"].startswith("Firing: embedder_evaluation: gate refused commit 1234 (main)\nTAR@FAR 1e-3 is 0.71")
    assert "auc: 0.71" in body["text"]


@pytest.mark.parametrize("reason", ["\ud800 half a character", "\x00\x1f", "x" * 100_000, "💥" * 10, float("inf")])
def test_nothing_that_a_run_may_say_breaks_the_body(problem: Message, reason: object) -> None:
    odd = replace(problem, reason=str(reason), figures={"found": reason, "list": [reason, object()]}).fit_to_send()
    body = json.loads(filled_body(DEFAULT_BODY, odd))
    assert len(body["reason"]) <= LONGEST_REASON + 2


def test_credentials_of_a_url_in_a_reason_are_not_passed_on(problem: Message) -> None:
    said = "https://ann:s3cret@example.org/faces cannot be read; ask ann@example.org"
    told = replace(problem, reason=said, figures={"remote": ["ssh://u:s3cret@host/x"]}).fit_to_send()
    assert "s3cret" not in filled_body(DEFAULT_BODY, told).decode()
    assert told.reason == "https://…@example.org/faces cannot be read; ask ann@example.org"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ('{"text": {title}}', "is not JSON"),
        ("{title}", "is not JSON"),
        ('{"text": "{titel} {reason}", "{no}": ["{}"]}', "{no}, {titel}, {} is no placeholder"),
        ('{"text": "{title.__class__} {0} {run-id}"}', "{title.__class__}, {0}, {run-id}"),
    ],
)
def test_the_setting_is_refused_with_its_name(home: Path, monkeypatch: pytest.MonkeyPatch, template: str, said: str) -> None:
    monkeypatch.setenv("FACE_ASSETS_NOTIFY_WEBHOOK_BODY", template)
    with pytest.raises(UserError, match="`notify_webhook_body`") as error:
        load_settings()
    assert all(part in str(error.value) for part in said.split(", "))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"notify_webhook": "ftp://s3cret"}, "notify_webhook"),
        ({"notify_slack": "hooks.slack.com/s3cret"}, "notify_slack"),
        ({"notify_smtp": "smtp://ann:s3cret@host:port", "notify_from": "a@b", "notify_to": "c@d"}, "notify_smtp"),
        ({"notify_smtp": "smtp://ann:s3cret@host"}, "notify_smtp"),
        ({"notify_to": "s3cret"}, "notify_to"),
    ],
)
def test_an_address_that_is_none_is_refused_with_its_key_and_without_its_secret(home: Path, settings: dict[str, str], key: str) -> None:
    write_json(home / "settings.json", settings)
    with pytest.raises(UserError, match=f"`{key}`") as error:
        load_settings()
    assert key == "notify_to" or "s3cret" not in f"{error.value}{error.value.__cause__}"


def test_settings_do_not_show_their_secrets(home: Path) -> None:
    write_json(home / "settings.json", {"notify_webhook": "https://example.org/s3cret", "notify_webhook_body": '{"key": "s3cret"}'})
    assert "s3cret" not in repr(load_settings())

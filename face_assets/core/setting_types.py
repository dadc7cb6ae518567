"""Types of settings: what a value of each kind may be, and the sentence where it is not."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from face_assets.core.message_template import parse_body
from face_assets.core.yaml_io import expanded


def is_loopback(host: str) -> bool:
    """True for a name or address that this machine alone reaches."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def secret_address(value: SecretStr, schemes: tuple[str, ...]) -> SecretStr:
    """The value, if it is an address with one of the schemes. Raises ValueError that does not repeat it."""
    text = value.get_secret_value()
    try:
        parts = urlsplit(text)
        good = not text or (parts.scheme in schemes and parts.hostname and parts.port != 0 and text.isprintable())
    except ValueError:  # its message may hold a password
        good = False
    if not good:
        raise ValueError(f"must be an address with a host that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    return value


def _split(value: Any) -> Any:
    """Patterns from one line of text, as in the environment."""
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def _none_where_empty(value: Any) -> Any:
    return None if value == "" else value


def _absolute(value: Path) -> Path:
    path = expanded(value)
    if not path.is_absolute():
        raise ValueError("must be an absolute path, since the daemon and the webserver run in another folder")
    return path


def _bucket_or_folder(value: str) -> str:
    if "://" in value:
        parts = urlsplit(value)
        if parts.scheme != "s3" or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("must be s3://bucket/prefix, with keys in the environment (AWS_…), or an absolute path")
        return value.rstrip("/")
    path = expanded(value)
    if not path.is_absolute():
        raise ValueError("must be an absolute path, or s3://bucket/prefix")
    return str(path)


def _address_of_pages(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("must be an address such as `https://faces.example.org`")
    return value.rstrip("/")


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    for one in values:
        parts = urlsplit(one)
        if parts.scheme not in ("http", "https") or not parts.hostname or one.rstrip("/") != f"{parts.scheme}://{parts.netloc}":
            raise ValueError("must be origins such as `https://app.example.org`, without a path; `*` is none")
    return tuple(one.rstrip("/") for one in values)


def _body(value: str) -> str:
    if value:
        parse_body(value)
    return value


def _mail_addresses(value: str) -> str:
    if value and not all("@" in one and one.isprintable() for one in value.split(",")):
        raise ValueError("must be mail addresses such as `ann@example.org`")
    return value


Patterns = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Origins = Annotated[Patterns, AfterValidator(_origins)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
OptionalPath = Annotated[AbsolutePath | None, BeforeValidator(_none_where_empty)]
Store = Annotated[Annotated[str, AfterValidator(_bucket_or_folder)] | None, BeforeValidator(_none_where_empty)]
PagesAddress = Annotated[Annotated[str, AfterValidator(_address_of_pages)] | None, BeforeValidator(_none_where_empty)]
WebAddress = Annotated[SecretStr, AfterValidator(lambda value: secret_address(value, ("http", "https")))]
MessageBody = Annotated[str, AfterValidator(_body)]
MailAddresses = Annotated[str, AfterValidator(_mail_addresses)]

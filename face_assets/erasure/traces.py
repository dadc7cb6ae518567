"""The traces of a person in bytes and texts: the name in every form in which programs write it, and the md5 of the person's photos."""

import json
import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote, quote_plus

from face_assets.dataset.photo_folders import person_key

PLAIN = re.compile(r"[a-z]+|[\W\d_]*|.{1,3}", re.DOTALL)
"""Names that stand in any text for something else: one lower-case word, numbers, three letters. They count as a whole or in a path."""
FEW = 40
"""Digests that are faster searched for one by one than by the pattern of all digests."""
WORD = rb"0-9A-Za-z_\x80-\xff"
BEFORE, AFTER = rb"(?:(?<![%s])|(?<=\\[nrt]))" % WORD, rb"(?=_[0-9]|(?![%s]))" % WORD
"""Around a name: no letter or digit, but an escaped line break before it, or a number after it, as in the file Ann_0001.jpg."""
FACES = re.compile("data:image/jpeg;base64,[0-9A-Za-z+/=]+")
"""Pictures of faces, such as contact sheets, in the metadata of assets; those of figures are PNG."""
QUOTE = rb"[/\"'\\=:\x00\n]"


@dataclass(frozen=True)
class Traces:
    """names: the spellings of the person's name; md5s: of the person's photos; others: names of other people, which may contain it."""

    names: frozenset[str]
    md5s: frozenset[str]
    others: frozenset[str] = frozenset()

    @cached_property
    def keys(self) -> frozenset[str]:
        """The keys of the spellings."""
        return frozenset(map(person_key, self.names))

    @cached_property
    def _pattern(self) -> re.Pattern[bytes]:
        shadowing = [form for other in self.others if any(name.lower() in other.lower() for name in self.names) for form in forms(other)]
        plain, clear = _split(self.names)
        parts = [rb"(?P<other>%s%s%s)" % (BEFORE, _any(shadowing), AFTER)] if shadowing else []
        wanted = [rb"%s%s%s" % (BEFORE, _any(clear), AFTER)] if clear else []
        wanted += [rb"(?:(?<=%s)|\A)%s(?=%s|_[0-9]|\Z)" % (QUOTE, _any(plain), QUOTE)] if plain else []
        return re.compile(b"|".join([*parts, rb"(?P<name>%s)" % b"|".join(wanted)]), re.IGNORECASE)

    @cached_property
    def _forms(self) -> frozenset[bytes]:
        return frozenset(form.lower() for name in self.names for form in forms(name))

    @cached_property
    def _wide(self) -> list[bytes]:
        """The clear names as NumPy and Windows keep text: 4 or 2 bytes a character, upon a boundary."""
        clear = [unicodedata.normalize("NFC", name) for name in self.names if not PLAIN.fullmatch(name)]
        return [name.encode(code) for name in clear for code in ("utf-32-le", "utf-16-le")]

    def count(self, content: bytes) -> int:
        """The number of traces in bytes."""
        small, found = content.lower(), 0
        if any(form in small for form in self._forms):  # a search for bytes is a hundred times faster than the pattern
            found = sum(one.group("name") is not None for one in self._pattern.finditer(content))
        found += sum(content.count(wide) for wide in self._wide if not self._is_shadowed(content, wide))
        if len(self._ends) <= FEW and not any(end in content for end in self._ends):
            return found
        return found + sum(self._has_digest(run.group()) for run in re.finditer(rb"[0-9a-f]{30,}", content))

    def _is_shadowed(self, content: bytes, wide: bytes) -> bool:
        code = "utf-32-le" if len(wide) % 4 == 0 and wide[1:4] == b"\0\0\0" else "utf-16-le"
        mine = wide.decode(code, "replace")
        longer = [other.encode(code) for other in self.others if mine in other]
        return content.count(wide) <= sum(content.count(other) for other in longer)

    def _has_digest(self, run: bytes) -> bool:
        """True for a run of hexadecimal digits with an md5 of the person, or with its last 30, by which DVC names files."""
        if len(run) == 30:
            return run in self._ends
        return any(run[start : start + 32] in self._md5s for start in range(len(run) - 31))

    @cached_property
    def _md5s(self) -> frozenset[bytes]:
        return frozenset(md5.encode() for md5 in self.md5s)

    @cached_property
    def _ends(self) -> frozenset[bytes]:
        return frozenset(md5[2:] for md5 in self._md5s)

    def redacted(self, content: bytes, pseudonym: str) -> bytes:
        """The bytes with the pseudonym in place of each trace."""
        instead = pseudonym.encode()

        def name(found: re.Match[bytes]) -> bytes:
            return found.group() if found.group("name") is None else instead

        def digests(found: re.Match[bytes]) -> bytes:
            run, start, parts = found.group(), 0, []
            while start < len(run):
                length = 32 if run[start : start + 32] in self._md5s else 30 if len(run) == 30 and run in self._ends else 0
                parts.append(instead if length else run[start : start + 1])
                start += length or 1
            return b"".join(parts)

        return re.sub(rb"[0-9a-f]{30,}", digests, self._pattern.sub(name, content))

    def redacted_row(self, text: str, pseudonym: str) -> str:
        """A text of a database as `redacted_text` returns it, also without pictures of faces: who is seen in them is not known."""
        return self.redacted_text(FACES.sub("data:,", text), pseudonym)

    def redacted_text(self, text: str, pseudonym: str) -> str:
        """The text with the pseudonym in place of each trace. JSON stays JSON: only its values and keys change, and no name of a class."""
        content = text.encode(errors="surrogatepass")
        if not self.count(content):
            return text
        if text[:1] in "{[":
            try:
                return json.dumps(self._walk(json.loads(text), pseudonym))
            except ValueError:
                pass
        return self.redacted(content, pseudonym).decode(errors="surrogatepass")

    def _walk(self, value: object, pseudonym: str) -> object:
        if isinstance(value, str):
            return self.redacted_text(value, pseudonym)
        if isinstance(value, list):
            return [self._walk(one, pseudonym) for one in value]
        if isinstance(value, dict):
            return {
                self.redacted_text(key, pseudonym): one if key.startswith("__") else self._walk(one, pseudonym)
                for key, one in value.items()
            }
        return value


def forms(name: str) -> set[bytes]:
    """A name as programs write it: composed and decomposed Unicode, in JSON, in an address, in a file's name; each in its own, lower and
    upper case."""
    found: set[bytes] = set()
    in_files = [name.replace(" ", between) for between in "_-"]
    for one in (case for text in (name, *in_files) for case in (text, text.lower(), text.upper())):
        for form in (unicodedata.normalize("NFC", one), unicodedata.normalize("NFD", one)):
            for text in (form, json.dumps(form)[1:-1], json.dumps(json.dumps(form)[1:-1])[1:-1], quote(form), quote_plus(form)):
                found.add(text.encode(errors="surrogatepass"))
    return found


def _split(names: Collection[str]) -> tuple[list[bytes], list[bytes]]:
    """The forms of plain names, and of clear ones."""
    plain = [form for name in names if PLAIN.fullmatch(name) for form in forms(name)]
    return plain, [form for name in names if not PLAIN.fullmatch(name) for form in forms(name)]


def _any(options: Iterable[bytes]) -> bytes:
    return b"(?:%s)" % b"|".join(re.escape(option) for option in sorted(set(options), key=len, reverse=True))

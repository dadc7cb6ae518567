"""The names in a folder of photos: the identity of a folder, and files that are no photos."""

import re
import unicodedata
from collections.abc import Sequence

from face_assets.core.errors import UserError

HIDDEN = "hidden"
SYSTEM = "left by a NAS, a phone or a file manager"
OTHER_KIND = "no pictures by their names"
LOOSE = "in no person's folder"

OF_NAS = {"@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin", "@syno", "#recycle", "#snapshot", "~snapshot"}
OF_WINDOWS = {"$recycle.bin", "recycler", "recycled", "system volume information", "found.000", "thumbs.db", "desktop.ini", "autorun.inf"}
OF_OTHERS = {"lost+found", "lost.dir", "network trash folder", "temporary items", "__macosx", "desktop db", "desktop df", "icon\r"}
OF_PROGRAMS = {"ehthumbs.db", "ehthumbs_vista.db", "picasa.ini", "zbthumbnail.info", "ipod photo cache"}
SYSTEM_NAMES = OF_NAS | OF_WINDOWS | OF_OTHERS | OF_PROGRAMS
SYSTEM_ENDINGS = ("@synoeastream", "@synoresource", ".lrdata", ":zone.identifier")
SIDE_FILES = {".xmp", ".aae", ".thm", ".lrv", ".pp3", ".dop", ".json", ".xml", ".ini", ".db", ".sqlite", ".lrcat", ".lnk", ".url", ".dvc"}
TEXTS = {".txt", ".md", ".csv", ".html", ".htm", ".log", ".md5", ".nfo", ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".odt", ".ods"}
FILMS = {".mov", ".mp4", ".m4v", ".avi", ".3gp", ".mkv", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".webm", ".mp3", ".m4a", ".wav", ".aac"}
ARCHIVES = {".zip", ".rar", ".7z", ".gz", ".tar", ".tgz"}
UNFINISHED = {".tmp", ".part", ".partial", ".crdownload", ".download", ".bak", ".swp"}
OTHER_ENDINGS = SIDE_FILES | TEXTS | FILMS | ARCHIVES | UNFINISHED
LONGEST = 255  # bytes, as file systems have it
# invisible characters: soft hyphen, zero-width space, directions of text, byte order mark, tags
INVISIBLE = re.compile("[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")
# characters that only shape adjacent letters: joiners, variation selectors
SHAPING = re.compile("[\u034f\u180b-\u180f\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def left_out_as(parts: Sequence[str], is_folder: bool = False) -> str | None:
    """The reason for which a file with this path is no photo: HIDDEN, SYSTEM or OTHER_KIND; None where it may be one.

    A picture of an unreadable format (RAW) counts as a photo, and its inspection gives the reason.
    """
    for part in parts:
        name = part.lower()
        if name in SYSTEM_NAMES or name.endswith(SYSTEM_ENDINGS):
            return SYSTEM
        if name.startswith("."):
            return HIDDEN
    last = parts[-1].lower()
    place = last.rfind(".")
    suffix = last[place:] if 0 < place < len(last) - 1 else ""
    is_other = not is_folder and (suffix in OTHER_ENDINGS or last.endswith("~") or last.startswith("~$"))
    return OTHER_KIND if is_other else None


def require_unicode(path: str) -> None:
    """Raises UserError for a path with bytes that are not UTF-8, which Python reads as surrogates."""
    if not path.isascii() and any("\ud800" <= character <= "\udfff" for character in path):
        raise UserError(f"The name of {path!r} in the data set is not UTF-8: rename the file or its folder, and add the folder again.")


def identity_of(folder: str) -> str:
    """The identity of a folder's name: composed Unicode, single spaces between words, no invisible characters.

    Raises UserError for a name with control characters, which could forge lines of a response or a log, one of spaces alone, and one
    longer than file systems allow.
    """
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in folder):
        raise UserError(f"The folder {folder!r} has control characters or line breaks in its name: rename it to the person's name.")
    name = " ".join(INVISIBLE.sub("", unicodedata.normalize("NFC", folder)).split())
    if not name:
        raise UserError(f"The folder {folder!r} has a name of spaces alone: rename it to the person's name.")
    if len(name.encode()) > LONGEST:
        raise UserError(f"The name of the folder {folder[:40]!r}… is longer than {LONGEST} bytes: rename it to the person's name.")
    return name


def person_key(name: str) -> str:
    """A key that is equal for names of one person: those that differ only by case, spaces, Unicode form or invisible characters.

    By lower case and not case folding, under which Strauß and Strauss are equal.
    """
    visible = SHAPING.sub("", INVISIBLE.sub("", unicodedata.normalize("NFC", name)))
    return unicodedata.normalize("NFC", " ".join(visible.split()).lower())

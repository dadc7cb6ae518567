"""Signatures of release and stage tags, made and verified by OpenSSH's ssh-keygen, as git does with gpg.format=ssh.

The list of signers is in the format of ssh-keygen(1), ALLOWED SIGNERS. A key signs only for the mail addresses that the list gives it, and
a tag counts only where its tagger's is one of them. The validity of a key is that at the tag's date, as git has it.
"""

import base64
import binascii
import hashlib
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from face_assets.core.errors import RefusedError, UserError
from face_assets.core.fingerprint import file_sha256
from face_assets.core.outside_text import one_line
from face_assets.registry.git import GitError, environment, git

NAMESPACE = "git"
BEGIN, END = b"-----BEGIN SSH SIGNATURE-----\n", b"-----END SSH SIGNATURE-----\n"
LONGEST_LINE = 76
HEADER = re.compile(rb"object [0-9a-f]{40}\ntype commit\ntag ([^\n]*)\ntagger [^<\n]*<([^>\n]*)> ([0-9]{1,12}) [+-][0-9]{4}\n")
SECONDS = 60.0
RECORD, BUNDLE = "Record-SHA256", "Bundle-SHA256"
"""Trailers of a signed release tag: digests of release.json, and of the names and bytes of all files of the bundle."""
DIGESTS = re.compile(rf"^{RECORD}: ([0-9a-f]{{64}})\n{BUNDLE}: ([0-9a-f]{{64}})$", re.MULTILINE)


@dataclass(frozen=True)
class Signing:
    """signers: the list of allowed signers, without which tags count unsigned; key: the platform's key, without which it signs nothing."""

    signers: Path | None = None
    key: Path | None = None

    def refusal(self, name: str, content: bytes) -> str | None:
        """The reason for which a tag does not count; None where an allowed signer signed it. content: the tag object; name: its ref's.

        Raises UserError where the list cannot be read or ssh-keygen is missing.
        """
        if self.signers is None:
            return None
        try:
            signers = self.signers.read_bytes()
        except OSError as error:
            raise UserError(f"FACE_ASSETS_ALLOWED_SIGNERS: {self.signers} cannot be read: {error.strerror}.") from error
        return _refusal(name, content, signers)

    def require_key(self) -> None:
        """Raises UserError where signers are required and the platform has no key."""
        if self.signers and not self.key:
            raise UserError("Releases must be signed, and the platform has no key: set FACE_ASSETS_SIGNING_KEY to an SSH key that signs.")

    def sign(self, folder: Path, name: str, payload: bytes, personal: bool) -> bytes:
        """The tag object of a payload, signed where a key is known or signers are required. Raises UserError.

        The platform signs with the key of the settings; a tag in a person's name (`personal`) is signed with git's `user.signingKey`, else
        with that key.
        """
        key = (_key_of_git(folder) if personal else None) or (str(self.key) if self.key else None)
        if key is None:
            if self.signers:
                raise UserError(
                    f"{name} must be signed and no key is named: set FACE_ASSETS_SIGNING_KEY, or git's user.signingKey (an SSH key)."
                )
            return payload
        signed = payload + _signature(key, payload)
        if reason := self.refusal(name, signed):
            raise RefusedError(f"{name} was not set, since nobody would take it: {reason} (FACE_ASSETS_ALLOWED_SIGNERS: {self.signers}).")
        return signed


@lru_cache(maxsize=20_000)
def _refusal(name: str, content: bytes, signers: bytes) -> str | None:
    start = content.rfind(b"\n" + BEGIN) + 1
    header = HEADER.match(content)
    if header is None:
        return "it is no annotated tag of a commit"
    if start == 0:
        return "it is not signed with an SSH key"
    payload, signature = content[:start], content[start:]
    if header[1].decode(errors="replace") != name:
        return f"the tag that was signed is called {one_line(header[1].decode(errors='replace'), 100)}"
    if not _is_armored(signature):
        return "its signature is damaged"
    email = header[2].decode(errors="replace")
    if not email or not email.isprintable():
        return "it names no tagger"
    if not int(header[3]) < 253_402_300_800:  # of the year 10000, which ssh-keygen cannot read
        return "its date is out of range"
    when = time.strftime("%Y%m%d%H%M%S", time.gmtime(int(header[3])))
    with tempfile.TemporaryDirectory() as folder:
        allowed, signed = Path(folder, "signers"), Path(folder, "signature")
        allowed.write_bytes(signers)
        signed.write_bytes(signature)
        options = ("-Y", "verify", "-n", NAMESPACE, "-f", str(allowed), "-I", email, "-s", str(signed), f"-Overify-time={when}")
        done = _ssh_keygen(*options, content=payload)
    if done.returncode == 0:
        return None
    said = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
    if "incorrect signature" in said or "Signature verification failed" in said:
        return "its bytes are not those that were signed"
    if "key has expired" in said or "key is not yet valid" in said:
        return f"the key that signed it was not valid for {one_line(email, 100)} at its date"
    return f"no key that may sign for {one_line(email, 100)} signed it"


def _is_armored(signature: bytes) -> bool:
    """True for an armored signature in one form: nothing after its end, no other bytes between its lines."""
    if not signature.startswith(BEGIN) or not signature.endswith(END):
        return False
    lines = signature[len(BEGIN) : -len(END)].split(b"\n")
    if lines.pop() != b"" or not lines:
        return False
    width = len(lines[0])
    if width > LONGEST_LINE or any(len(line) != width for line in lines[:-1]) or not 0 < len(lines[-1]) <= width:
        return False
    joined = b"".join(lines)
    try:
        return base64.b64encode(base64.b64decode(joined, validate=True)) == joined
    except binascii.Error:
        return False


def _key_of_git(folder: Path) -> str | None:
    """git's SSH key of the person at this machine: a path, or a public key; None without one."""
    try:
        if git("config", "--get", "gpg.format", cwd=folder).decode().strip() != "ssh":
            return None
        return git("config", "--type=path", "--get", "user.signingKey", cwd=folder).decode(errors="replace").strip() or None
    except GitError:  # not set
        return None


def _signature(key: str, payload: bytes) -> bytes:
    literal = key.removeprefix("key::") if key.startswith(("key::", "ssh-", "ecdsa-", "sk-")) else None
    with tempfile.TemporaryDirectory() as folder:
        if literal:  # the agent has the private one
            Path(folder, "key.pub").write_text(literal + "\n", encoding="utf-8")
            done = _ssh_keygen("-Y", "sign", "-n", NAMESPACE, "-U", "-f", str(Path(folder, "key.pub")), content=payload)
        else:
            done = _ssh_keygen("-Y", "sign", "-n", NAMESPACE, "-f", key, content=payload)
    if done.returncode or not _is_armored(done.stdout):
        said = one_line(done.stderr.decode(errors="replace") or "no signature", 300)
        raise UserError(f"The key {one_line(literal or key, 100)} does not sign: {said}. A key with a passphrase needs an ssh-agent.")
    return done.stdout


def _ssh_keygen(*arguments: str, content: bytes) -> subprocess.CompletedProcess[bytes]:
    variables = {**environment(), "LC_ALL": "C", "TZ": "UTC", "SSH_ASKPASS_REQUIRE": "never"}
    try:
        return subprocess.run(
            ["ssh-keygen", *arguments],
            input=content,
            capture_output=True,
            check=False,
            timeout=SECONDS,
            env=variables,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise UserError("ssh-keygen is missing, which makes and verifies signatures: install openssh-client.") from error
    except subprocess.TimeoutExpired as error:
        raise UserError(f"ssh-keygen did not end within {SECONDS:g} s: is the ssh-agent stuck?") from error


def digests_text(record: bytes, bundle: Path) -> str:
    """The trailers of a release tag: digests of release.json and of the bundle."""
    return f"{RECORD}: {hashlib.sha256(record).hexdigest()}\n{BUNDLE}: {bundle_digest(bundle)}"


def signed_digests(message: str) -> tuple[str, str] | None:
    """The digests of the record and of the bundle that a release tag's message states; None without them."""
    found = DIGESTS.search(message)
    return (found[1], found[2]) if found else None


def record_digest(record: bytes) -> str:
    """SHA-256 of release.json, in hex."""
    return hashlib.sha256(record).hexdigest()


def bundle_digest(folder: Path) -> str:
    """SHA-256, in hex, of the names and the SHA-256 of the bytes of every file of a bundle; a link or a special file counts as such."""
    paths = sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())
    states = []
    for path in paths:
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise RefusedError(f"{path} is neither a file nor a folder, and no part of a signed bundle.")
        if path.is_file():
            found = path.stat()
            states.append((path.relative_to(folder).as_posix(), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino))
    return _digest_of(folder, tuple(states))


@lru_cache(maxsize=64)
def _digest_of(folder: Path, states: tuple[tuple[str, int, int, int, int], ...]) -> str:
    """The digest of files in these states: while a server is watched, the same bundle is asked for again and again."""
    whole = hashlib.sha256()
    for name, *_ in states:
        whole.update(f"{file_sha256(folder / name)}  {name}\0".encode(errors="surrogateescape"))
    return whole.hexdigest()

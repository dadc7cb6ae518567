"""A DVC remote on S3, as moto's server gives one that checks signatures: keys come from the environment and stand nowhere else."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest

from face_assets.core.credentials import without_credentials
from face_assets.core.errors import UserError
from face_assets.dataset.repository_creation import create_repository
from face_assets.registry.availability import missing_bytes
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.dvc_objects import erase_objects
from face_assets.registry.releases import Digests, Releases
from tests.s3_server import BUCKET, s3_server

Bundle = Callable[[bytes], Path]
NO_SUCH_SECRET = "a-secret-that-nobody-may-read"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with one bucket and one user, whose keys stand in the environment; gives the secret key."""
    with pytest.MonkeyPatch.context() as patch, s3_server(patch, tmp_path_factory.getbasetemp() / "nowhere") as secret:
        for who in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{who}_NAME", "Ann")
            patch.setenv(f"GIT_{who}_EMAIL", "ann@example.org")
        yield secret


@pytest.fixture(scope="module")
def original(s3: str, tmp_path_factory: pytest.TempPathFactory, make_photos: Callable[[Path], Path]) -> Path:
    """A data repository whose photos are on S3 alone, made once."""
    folder = tmp_path_factory.mktemp("s3")
    photos = make_photos(folder / "photos")
    remote = f"s3://{BUCKET}/store"
    create_repository(folder / "data", photos, "train: {epochs: 1}\n", remote, None)
    shutil.rmtree(folder / "data" / ".dvc" / "cache")
    return folder / "data"


@pytest.fixture
def data(original: Path, tmp_path: Path) -> Path:
    """A copy of it for a test."""
    shutil.copytree(original, tmp_path / "data")
    return tmp_path / "data"


def holding(folder: Path, text: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and text.encode() in path.read_bytes()]


def test_photos_come_from_s3_and_a_release_goes_there(data: Path, tmp_path: Path, s3: str, bundle: Bundle) -> None:
    repository = DataRepository(str(data), tmp_path / "home")
    repository.refresh()
    commit = repository.resolve("HEAD")
    assert missing_bytes(repository, commit, ("photos",)) is None
    files = repository.files(commit, "photos")
    found = repository.locate(commit, "photos", [file.md5 for file in files])
    assert {file.path: found[file.md5].read_bytes() for file in files} == {
        path.relative_to(data / "photos").as_posix(): path.read_bytes() for path in (data / "photos").rglob("*.jpg")
    }
    release = Releases(repository).register(bundle(b"a"), commit, "a", Digests("s", "g", "p"), {"auc": 0.9}, {})
    fresh = Releases(DataRepository(str(data), tmp_path / "another-home"))
    assert (fresh.bundle(release) / "embedder.bin").read_bytes() == b"a" * 1000
    assert holding(tmp_path, s3) == []


def test_wrong_keys_get_a_sentence_without_them(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", NO_SUCH_SECRET)
    repository = DataRepository(str(data), tmp_path / "home")
    repository.refresh()
    commit = repository.resolve("HEAD")
    said = missing_bytes(repository, commit, ("photos",))
    assert said
    assert "cannot be reached" in said
    with pytest.raises(UserError, match=r"photos\.dvc .* DVC's message: .+") as failed:
        repository.files(commit, "photos")
    for sentence in (said, str(failed.value)):
        assert NO_SUCH_SECRET not in sentence
    assert holding(tmp_path, NO_SUCH_SECRET) == []


def test_keys_of_the_users_own_settings_are_not_copied(data: Path, tmp_path: Path) -> None:
    local = data / ".dvc" / "config.local"
    local.write_text(f"['remote \"storage\"']\n    access_key_id = someone\n    secret_access_key = {NO_SUCH_SECRET}\n")
    repository = DataRepository(str(data), tmp_path / "home")
    repository.refresh()
    with repository.checkout(repository.resolve("HEAD")) as clone:
        assert holding(clone, NO_SUCH_SECRET) == []
    assert len(repository.files(repository.resolve("HEAD"), "photos")) == 6  # with the environment's keys


def test_keys_of_the_environment_are_hidden_in_what_others_say(s3: str) -> None:
    assert without_credentials(f"Invalid: {s3} at s3://me:word@host") == "Invalid: $AWS_SECRET_ACCESS_KEY at s3://host"


def test_an_object_is_erased_with_every_version_that_the_bucket_keeps(data: Path, tmp_path: Path, s3: str) -> None:
    client, (mine, others) = boto3.Session().client("s3"), ("ab" + "0" * 30, "ab" + "1" * 30)
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for md5 in (mine, others, mine):
        client.put_object(Bucket=BUCKET, Key=f"store/files/md5/{md5[:2]}/{md5[2:]}", Body=b"a face")
    client.delete_object(Bucket=BUCKET, Key=f"store/files/md5/ab/{mine[2:]}")  # which only hides it
    repository = DataRepository(str(data), tmp_path / "home")
    repository.refresh()
    (done,) = erase_objects(repository, [repository.resolve("HEAD")], [mine])
    assert (done.versions, done.left) == (3, 0)
    kept = client.list_object_versions(Bucket=BUCKET, Prefix="store/files/md5/ab/")
    assert [row["Key"][-30:] for row in kept["Versions"]] == [others[2:]]
    assert "DeleteMarkers" not in kept

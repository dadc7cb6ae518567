"""The shared store on S3: what one machine made, the other fetches; errors of the server are sentences."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from face_assets.storage import bucket_store, store_errors
from face_assets.storage.home import Home
from face_assets.storage.object_store import object_store as opened
from face_assets.storage.store_errors import StoreError
from tests.s3_server import BUCKET, s3_server
from tests.storage.test_shared_store import fill, md5, never, rows

STORE = f"s3://{BUCKET}/team/store"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, s3_server(patch, tmp_path_factory.getbasetemp() / "nowhere") as secret:
        patch.setattr(store_errors, "SECONDS_OF_REST", 0.0)
        yield secret


def test_two_machines_share_artifacts_and_rows(s3: str, tmp_path: Path) -> None:
    ours, theirs = Home(tmp_path / "a", STORE), Home(tmp_path / "b", STORE)
    made = ours.artifacts.make("kind", "name", fill(b"a" * 100_000))
    ours.crops("detector").put(rows(*range(50)))
    ours.crops("detector").publish()
    assert theirs.artifacts.make("kind", "name", never).summary == made.summary
    crops = theirs.crops("detector")
    assert crops.missing([md5(number) for number in range(51)]) == [md5(50)]
    assert sorted(crops.entries([md5(7), md5(8)]), key=lambda entry: entry.facts["n"]) == rows(7, 8)
    keys = {
        row["Key"].removeprefix("team/store/").split("/")[0]
        for row in boto3.Session().client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    }
    assert keys == {"artifacts", "objects", "rows"}
    assert "Uploads" not in boto3.Session().client("s3").list_multipart_uploads(Bucket=BUCKET)


def test_the_first_of_two_writers_of_an_object_wins(s3: str) -> None:
    store = opened(STORE)
    assert store.write("a/first", b"1", only_new=True)
    assert not store.write("a/first", b"2", only_new=True)
    assert store.read("a/first") == b"1"
    with pytest.raises(FileNotFoundError):
        store.read("a/none")
    assert (store.size("a/first"), store.size("a/none")) == (1, None)
    assert [one.name for one in store.listed("a")] == ["a/first"]
    assert abs(store.now() - next(iter(store.listed("a"))).modified) < 3600
    store.remove(["a/first", "a/none"])
    assert store.listed("a") == []


def test_what_was_removed_from_a_bucket_with_versions_is_gone_after_a_purge(s3: str) -> None:
    client = boto3.Session().client("s3")
    client.create_bucket(Bucket="versions")
    client.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    store = opened("s3://versions/store")
    for name in ("face", "face", "other"):
        store.write(name, b"bytes")
    client.put_object(Bucket="versions", Key="elsewhere", Body=b"1")
    client.delete_object(Bucket="versions", Key="elsewhere")
    store.remove(["face"])
    client.create_multipart_upload(Bucket="versions", Key="store/killed")
    assert store.purge() == 4
    assert "Uploads" not in client.list_multipart_uploads(Bucket="versions")
    assert {row["Key"] for row in client.list_object_versions(Bucket="versions")["Versions"]} == {"store/other", "elsewhere"}


def test_errors_are_sentences_without_keys(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="there is no bucket absent: make it"):
        opened("s3://absent/x").write("a", b"")
    with pytest.raises(StoreError, match="there is no bucket absent: make it"):
        opened("s3://absent/x").listed("a")
    bucket_store._file_system.cache_clear()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-that-nobody-may-read")
    with pytest.raises(StoreError) as failed:
        opened(STORE).read("a/first")
    assert str(failed.value).startswith(f"The store {STORE} failed: ")
    assert "a-secret" not in str(failed.value)
    bucket_store._file_system.cache_clear()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="Could not connect"):
        opened(STORE).listed("a")
    bucket_store._file_system.cache_clear()

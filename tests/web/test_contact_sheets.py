"""Contact sheets are pages of the web service: the picture of an asset for a commit, and a sentence where there is none."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from face_assets.core.files import write_json
from face_assets.core.page_addresses import sheets_page
from face_assets.core.settings import load_settings, remember
from face_assets.registry.workspace import Workspace
from face_assets.storage.artifacts import Artifact
from face_assets.web.app import create_app
from face_assets.web.recognizer import Recognizer
from tests.web.service import endpoint_of_nobody

SERVICE = "http://localhost:8004"
JPEG = b"\xff\xd8\xff a sheet"


def test_sheets_are_shown_for_their_commit_alone(repository: Path, home: Path) -> None:
    remember(repo=str(repository))
    workspace = Workspace(load_settings())
    client = TestClient(create_app(load_settings(), Recognizer(endpoint_of_nobody)), SERVICE)
    folder, commit = workspace.home.artifacts.root / "aligned_faces" / "f1", "c" * 40
    folder.mkdir(parents=True)
    (folder / "sample.jpg").write_bytes(JPEG)
    (folder / "secret.jpg").write_bytes(b"another picture")
    made = Artifact("aligned_faces", "f1", folder, {})
    write_json(workspace.home.artifact_references / "aligned_faces" / f"{commit}.json", made.to_json(home))

    found = client.get(sheets_page(SERVICE, "aligned_faces", commit, "sample"))
    assert found.status_code == 200
    assert f'src="sheet?asset=aligned_faces&amp;commit={commit}&amp;name=sample"' in found.text
    assert 'id="rejected"' not in found.text
    picture = client.get(f"/sheet?asset=aligned_faces&commit={commit}&name=sample")
    assert (picture.content, picture.headers["content-type"], picture.headers["cache-control"]) == (JPEG, "image/jpeg", "no-store")

    missing = client.get(sheets_page(SERVICE, "label_audit", commit, "suspects"))
    assert missing.status_code == 404 and f"face-assets run --commit {commit[:12]}" in missing.text
    for query, status in (
        (f"asset=aligned_faces&commit={commit}&name=rejected", 404),
        (f"asset=aligned_faces&commit={commit}&name=secret", 422),
        (f"asset=aligned_faces&commit={commit}&name=..%2Fsecret", 422),
        (f"asset=face_embedder&commit={commit}&name=sample", 422),
        ("asset=aligned_faces&commit=main&name=sample", 422),
        (f"asset=aligned_faces&commit={'d' * 40}&name=sample", 404),
    ):
        assert client.get(f"/sheet?{query}").status_code == status, query


@pytest.mark.parametrize("address", ["faces.example.org", "ftp://faces.example.org", "https://u:p@faces.example.org", "https://a.org?b"])
def test_the_address_of_the_pages_is_one(address: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_ASSETS_WEB_URL", address)
    with pytest.raises(Exception, match=r"(?i)web_url"):
        load_settings()
    monkeypatch.setenv("FACE_ASSETS_WEB_URL", "https://faces.example.org/")
    assert sheets_page(load_settings().pages_address, "label_audit", "c" * 40, "suspects").startswith("https://faces.example.org/faces?")

"""References to artifacts: named by a commit, and by nothing else that a partition's key may be."""

from pathlib import Path

import dagster as dg
import pytest

from face_assets.orchestration.artifact_io import ArtifactIOManager
from face_assets.storage.artifacts import Artifact

COMMIT = "0123456789" * 4


def test_a_partition_key_that_is_no_commit_makes_no_path(home: Path, tmp_path: Path) -> None:
    artifact = Artifact("aligned_faces", "a" * 16, tmp_path / "home" / "artifacts" / "aligned_faces" / "a", {})
    artifact.directory.mkdir(parents=True)
    manager = ArtifactIOManager()
    for key in ("../../escaped", "--upload-pack=touch pwned", "a\nb"):
        with pytest.raises(dg.Failure) as refused:
            manager.handle_output(dg.build_output_context(asset_key="aligned_faces", partition_key=key), artifact)
        assert str(refused.value.description).isprintable()
    assert not (home / "handles").exists()
    manager.handle_output(dg.build_output_context(asset_key="aligned_faces", partition_key=COMMIT), artifact)
    read = manager.load_input(dg.build_input_context(asset_key="aligned_faces", partition_key=COMMIT))
    assert read.directory == artifact.directory

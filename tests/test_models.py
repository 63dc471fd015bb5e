"""The files of a base model are those of its revision, or they are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from forgetcast.errors import ModelMismatch, ModelNotFound, ModelsUnreadable
from service.models import BaseModelFiles, Models, folder_sha256


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_bytes(b"{}")
    return folder


def test_a_file_that_is_cut_off_or_changed_is_seen_though_it_was_read_before(folder: Path, tmp_path: Path) -> None:
    models = Models(tmp_path / "models.toml", {"tiny": BaseModelFiles(folder, folder_sha256(folder))})
    revision = models.revision("tiny")
    assert models.folder("tiny", revision) == folder
    weights = folder / "model.safetensors"
    for changed_at, content in enumerate((b"weight", b"weightz")):
        weights.write_bytes(content)
        os.utime(weights, ns=(changed_at, changed_at))  # some file systems count in hundredths of a second
        with pytest.raises(ModelMismatch, match="tiny") as refused:
            models.folder("tiny", revision)
        assert str(tmp_path) not in str(refused.value)
    weights.write_bytes(b"weights")
    os.utime(weights, ns=(2, 2))
    assert models.folder("tiny", revision) == folder


def test_hidden_files_do_not_count_and_no_files_are_no_model(folder: Path, tmp_path: Path) -> None:
    before = folder_sha256(folder)
    (folder / ".lock").touch()
    assert folder_sha256(folder) == before
    with pytest.raises(ModelNotFound):
        folder_sha256(tmp_path / "absent")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[models", "not TOML"),
        (b"\xff", "not UTF-8"),
        (b"models = 3", "models is a table"),
        (b"models = []", "models is a table"),
        (b"[models]\ntiny = 3", "models.tiny needs a folder"),
        (b"[models.tiny]\nfolder = 3", "models.tiny needs a folder"),
        (b"[models.tiny]\nfolder = ''", "models.tiny needs a folder"),
        (b"[models.tiny]\nfolder = '~nobody-of-this-name/x'", "unknown user"),
        (b"[models.tiny]\nfolder = '/x'\nrevision = 3", "is no text"),
        (b"[models.tiny]\nrepo = 'org/tiny'", "needs the commit of org/tiny"),
        (b"[models.tiny]\nrepo = 'org/tiny'\nrevision = 'main'", "needs the commit of org/tiny"),
        (b"[models.tiny]\nrepo = 'https://hub/org/tiny'\nrevision = 'main'", "is no name on a hub"),
        (b"[models.tiny]\nrepo = '../tiny'\nrevision = 'main'", "is no name on a hub"),
        (b"[models.tiny]\nrepo = 'org/tiny'\nfolder = '/x'", "has a repo and a folder"),
    ],
)
def test_a_file_that_names_no_models_says_what_is_wrong_with_it(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "models.toml").write_bytes(content)
    with pytest.raises(ModelsUnreadable, match=said) as refused:
        Models.read(tmp_path / "models.toml")
    assert str(tmp_path / "models.toml") in str(refused.value)


def test_a_folder_is_no_file_of_models(tmp_path: Path) -> None:
    with pytest.raises(ModelsUnreadable, match="cannot be read"):
        Models.read(tmp_path)


def test_a_revision_that_cannot_be_written_down_is_known_all_the_same(folder: Path) -> None:
    models = Models(Path("/proc/models.toml"), {"tiny": BaseModelFiles(folder, "")})
    assert models.revision("tiny") == folder_sha256(folder)

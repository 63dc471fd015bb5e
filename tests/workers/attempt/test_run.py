"""What the child cannot do, it says in a code; a damaged model is refused before it is read."""

import errno
import shutil
import struct

import pytest
import torch

from forgetcast.errors import ModelUnreadable, NotFinite
from tests.workers.language_models import character_tokenizer, tiny_llama
from workers.attempt.model.model_folder import check_whole, load_model
from workers.attempt.run import describe


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_llama().save_pretrained(folder)
    character_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("n_bytes", [0, 7, 100, -1])
def test_a_model_file_that_is_cut_off_is_refused_before_it_is_read(model_folder, tmp_path, n_bytes):
    shutil.copytree(model_folder, tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    check_whole(weights)
    weights.write_bytes(weights.read_bytes()[:n_bytes])
    with pytest.raises(ModelUnreadable, match="fetch it again"):
        load_model(tmp_path / "model", torch.device("cpu"))


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 2**64 - 1) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 2) + b"\xff\xff",
        struct.pack("<Q", 12) + b'{"a": {"b":1',
        struct.pack("<Q", 10) + b'{"a": "b"}',
    ],
)
def test_a_header_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelUnreadable):
        check_whole(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFinite("x"), "not_finite"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 1 vs 2"), "disk_full"),
        (OSError(errno.EIO, "Input/output error"), "io"),
        (torch.OutOfMemoryError(), "gpu_oom"),
        (ValueError("x"), "internal"),
    ],
)
def test_every_error_has_a_code(tmp_path, error, code):
    assert describe(error, tmp_path)[0] == code

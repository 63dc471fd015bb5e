"""GPUs, here as the driver's tool would list them: each belongs to one worker."""

import pytest

from forgetcast.errors import ConfigurationError
from tests.workers.supervised import fake_command
from workers.child import Child
from workers.gpu import lock_file, take_gpu, visible_gpus


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr("workers.gpu.LIST_GPUS", ("printf", "0, GPU-a\\n1, GPU-b\\n"))


def test_a_host_without_a_gpu_has_none_to_take(monkeypatch, tmp_path):
    monkeypatch.setattr("workers.gpu.LIST_GPUS", ("no-such-tool",))
    assert take_gpu({}, tmp_path) is None


@pytest.mark.parametrize(
    ("variable", "visible"),
    [
        (None, ["GPU-a", "GPU-b"]),
        ("1,0", ["GPU-b", "GPU-a"]),
        ("GPU-b", ["GPU-b"]),
        ("0,7,1", ["GPU-a"]),
        ("-1", []),
        ("", []),
    ],
)
def test_the_visible_gpus_are_those_that_cuda_sees(two_gpus, variable, visible):
    assert visible_gpus({} if variable is None else {"CUDA_VISIBLE_DEVICES": variable}) == visible


def test_two_workers_never_share_a_gpu(two_gpus, tmp_path):
    first, second = take_gpu({}, tmp_path), take_gpu({}, tmp_path)
    assert first is not None and second is not None
    assert [first.environment, second.environment] == [
        {"CUDA_VISIBLE_DEVICES": "GPU-a"},
        {"CUDA_VISIBLE_DEVICES": "GPU-b"},
    ]
    with pytest.raises(ConfigurationError, match="GPU-a, GPU-b"):
        take_gpu({}, tmp_path)
    first.release()
    again = take_gpu({}, tmp_path)
    assert again is not None and again.name == "GPU-a"
    again.release()
    second.release()


def test_a_gpu_is_free_only_when_the_child_is_gone_too(two_gpus, tmp_path):
    gpu = take_gpu({"CUDA_VISIBLE_DEVICES": "0"}, tmp_path)
    assert gpu is not None
    lock = tmp_path / "forgetcast-gpu-GPU-a.lock"
    with Child(tmp_path, fake_command("hang", tmp_path / "pids"), held=(gpu.lock,)):
        gpu.release()
        assert lock_file(lock) is None
    again = take_gpu({"CUDA_VISIBLE_DEVICES": "0"}, tmp_path)
    assert again is not None
    again.release()

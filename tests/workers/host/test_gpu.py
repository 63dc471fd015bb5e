"""GPUs, here as the driver's tool would list them: each belongs to one worker."""

import threading

import pytest

from forgetcast.errors import ConfigurationError
from tests.workers.supervised import fake_command
from workers.host.child import Child
from workers.host.gpu import Gpus, lock_file


@pytest.fixture
def two_gpus(monkeypatch, tmp_path):
    monkeypatch.setattr("workers.host.gpu.LIST_GPUS", ("printf", "0, GPU-a\\n1, GPU-b\\n"))
    monkeypatch.setattr("workers.host.gpu.LOCK_FOLDER", tmp_path)
    return Gpus.visible({})


def test_a_host_without_a_gpu_has_none(monkeypatch):
    monkeypatch.setattr("workers.host.gpu.LIST_GPUS", ("no-such-tool",))
    assert Gpus.visible({}).names == ()
    with pytest.raises(ConfigurationError, match="none"):
        Gpus.visible({}).chosen("0")


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
    assert list(Gpus.visible({} if variable is None else {"CUDA_VISIBLE_DEVICES": variable}).names) == visible


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [("all", ("GPU-a", "GPU-b")), ("1", ("GPU-b",)), ("1, 0", ("GPU-b", "GPU-a")), ("GPU-a,0", ("GPU-a",))],
)
def test_gpus_are_chosen_by_index_or_uuid(two_gpus, wanted, chosen):
    assert two_gpus.chosen(wanted) == chosen


@pytest.mark.parametrize("wanted", ["2", "", "GPU-c", "0,2"])
def test_a_gpu_that_is_not_there_is_refused(two_gpus, wanted):
    with pytest.raises(ConfigurationError, match="GPU-a, GPU-b"):
        two_gpus.chosen(wanted)


def test_two_workers_never_share_a_gpu(two_gpus):
    first, second = two_gpus.take(two_gpus.names), two_gpus.take(two_gpus.names)
    assert first is not None and second is not None
    assert [first.environment, second.environment] == [
        {"CUDA_VISIBLE_DEVICES": "GPU-a"},
        {"CUDA_VISIBLE_DEVICES": "GPU-b"},
    ]
    assert two_gpus.take(two_gpus.names) is None
    assert two_gpus.take(two_gpus.names, shared=True) is None
    first.release()
    again = two_gpus.take(two_gpus.names)
    assert again is not None and again.name == "GPU-a"
    again.release()
    second.release()


def test_workers_that_say_so_share_a_gpu(two_gpus):
    first, second = two_gpus.take(["GPU-a"], shared=True), two_gpus.take(["GPU-a"], shared=True)
    assert first is not None and second is not None
    assert two_gpus.take(["GPU-a"]) is None
    first.release()
    second.release()


def test_a_worker_waits_for_a_gpu_until_it_is_free_or_the_worker_is_stopped(two_gpus, monkeypatch):
    monkeypatch.setattr("workers.host.gpu.LOOK_AGAIN_AFTER", 0.01)
    held = two_gpus.take(["GPU-a"])
    stopped = threading.Event()
    stopped.set()
    assert two_gpus.wait(["GPU-a"], stopped) is None
    threading.Timer(0.1, held.release).start()
    gpu = two_gpus.wait(["GPU-a"], threading.Event())
    assert gpu is not None
    gpu.release()


def test_a_gpu_is_free_only_when_the_child_is_gone_too(two_gpus, tmp_path):
    gpu = two_gpus.take(["GPU-a"])
    assert gpu is not None
    lock = tmp_path / "forgetcast-gpu-GPU-a.lock"
    with Child(tmp_path, fake_command("hang", tmp_path / "pids"), held=gpu.locks):
        gpu.release()
        assert lock_file(lock) is None
    again = two_gpus.take(["GPU-a"])
    assert again is not None
    again.release()


def test_a_job_on_several_gpus_has_all_of_them_or_none(two_gpus, tmp_path):
    both = two_gpus.take(two_gpus.names, n_devices=2)
    assert both is not None and both.names == ("GPU-a", "GPU-b") and both.name == "GPU-a +1"
    assert both.environment == {"CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b"}
    both.release()
    other = two_gpus.take(["GPU-b"])
    assert two_gpus.take(two_gpus.names, n_devices=2) is None
    first = two_gpus.take(["GPU-a"])  # which was let go again
    assert first is not None
    for gpu in (first, other):
        gpu.release()

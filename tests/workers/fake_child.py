"""A child without a model: does as its first argument says, for the second, a file to write its pid to;
its order is copied beside that.

python -m tests.workers.fake_child BEHAVIOUR PID_FILE JOB_DIRECTORY
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from workers.job_directory import JobOrder, exact, write_block, write_file, write_result

BEFORE, AFTER = 1.0, 1.5


def main() -> int:
    return behave(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))


def behave(told: str, pid_file: Path, folder: Path) -> int:
    """Do as told, BEHAVIOUR or BEHAVIOUR:ARGUMENT; the exit status."""
    behaviour, _, argument = told.partition(":")
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if behaviour == "deaf":
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    pids = [os.getpid()]
    if behaviour == "family":
        pids.append(subprocess.Popen(["/bin/sleep", "600"]).pid)
    say({"phase": "fine_tune", "step": 1, "total": 2, "loss": float("nan"), "eta_s": 1.0})
    if (folder / "job.json").exists():
        write_file(pid_file.with_name("order.json"), (folder / "job.json").read_bytes())
    write_file(pid_file, json.dumps(pids).encode())
    if behaviour in ("hang", "stubborn", "deaf", "family"):
        time.sleep(600)
    if behaviour == "chatter":
        while True:
            say({"phase": "fine_tune", "step": 1, "total": 2, "loss": time.time(), "eta_s": 1.0})
            time.sleep(0.05)
    if behaviour in ("save", "finish_when_asked"):
        wait_until_asked(pid_file)
    if behaviour == "save":
        (folder / "saved").touch()
        return 75
    if behaviour == "environment":
        write_file(Path(argument), json.dumps(dict(os.environ)).encode())
    if behaviour == "base_only":
        say({"phase": "base", "step": 0, "total": 1, "loss": None, "eta_s": None})
        n_upstream = len((folder / "upstream.jsonl").read_text().splitlines())
        write_blocks(folder, "before", n_upstream, BEFORE)
        say({"phase": "fine_tune", "step": 0, "total": 1, "loss": None, "eta_s": None})
        time.sleep(600)
    if behaviour == "die":
        os.kill(os.getpid(), getattr(signal, argument))
    if behaviour == "exit":
        os._exit(int(argument))
    if behaviour == "fail":
        write_file(folder / "error.json", json.dumps({"code": argument, "detail": "as told"}).encode())
        return 1
    if behaviour == "wait_for":
        while not Path(argument).exists():
            time.sleep(0.02)
    if behaviour == "slow":
        until = time.monotonic() + float(argument)
        work_until(lambda: time.monotonic() >= until)
    if behaviour == "until":
        work_until(Path(argument).exists)
    measure(folder, keep=behaviour != "truncate")
    return 0


def work_until(done: Callable[[], bool]) -> None:
    """Fine-tune, as far as anybody can see."""
    step = 1
    while not done():
        time.sleep(0.1)
        step += 1
        say({"phase": "fine_tune", "step": step, "total": 10_000, "loss": 2.0, "eta_s": 1.0})


def wait_until_asked(pid_file: Path) -> None:
    """Until SIGUSR1, which a worker sends that is about to stop; the file `ready` says that it may come."""
    asked = threading.Event()
    signal.signal(signal.SIGUSR1, lambda _number, _frame: asked.set())
    pid_file.with_name("ready").touch()
    asked.wait(600)


def measure(folder: Path, *, keep: bool) -> None:
    JobOrder.read(folder)
    n_upstream = len((folder / "upstream.jsonl").read_text().splitlines())
    print("a library says hello")
    say({"level": "warn", "message": "one line is left out"})
    write_blocks(folder, "before", n_upstream, BEFORE)
    write_blocks(folder, "after", n_upstream, AFTER)
    say({"phase": "measure", "step": 2, "total": 2, "loss": None, "eta_s": 0.0})
    write_result(folder, {"seconds": {"measure": 0.1}, "device": "none"})
    if not keep:
        (folder / "blocks" / "after-00000.npy").write_bytes(b"half")


def write_blocks(folder: Path, kind: str, n_upstream: int, value: float) -> None:
    write_block(folder, exact(kind), 0, np.zeros(n_upstream, np.int8))
    write_block(folder, kind, 0, np.full(n_upstream, value, np.float32))


def say(event: dict[str, object]) -> None:
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""One worker process per GPU: started again when one dies, stopped together."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import timedelta

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "forgetcast.cli", "worker", "--until-eof")
LOOK_AT_WORKERS = 0.2  # seconds
START_AGAIN_AFTER = timedelta(seconds=2)


class Member:
    """One worker of a fleet. It ends with us, whatever ends us: its stdin ends, and it gives its job back."""

    def __init__(self, gpu: str, arguments: Sequence[str]) -> None:
        self.gpu = gpu
        self._command = [*COMMAND, "--gpus", gpu, *arguments]
        self.start()

    def start(self) -> None:
        # A group of its own: a Ctrl-C in the terminal reaches us alone, and is passed on once.
        self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, process_group=0)
        self.start_at: float | None = None

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> None:
        try:
            self.process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            log.error("the worker on GPU %s does not end and is killed", self.gpu)
            self.process.kill()
            self.process.wait()


def run_fleet(members: Sequence[Member], stop: threading.Event, *, once: bool, patience: timedelta) -> int:
    """Watch over the workers until `stop` is set, or with `once` until each has ended. The highest exit status.

    `patience`: how long they may take to give their jobs back.
    """
    while not stop.wait(LOOK_AT_WORKERS):
        ended = [member for member in members if member.process.poll() is not None]
        if once and len(ended) == len(members):
            break
        for member in () if once else ended:
            _start_again(member)
    for member in members:
        member.stop()
    until = time.monotonic() + patience.total_seconds()
    for member in members:
        member.wait(until - time.monotonic())
    return max(abs(int(member.process.returncode)) for member in members)


def _start_again(member: Member) -> None:
    if member.start_at is None:
        status = member.process.returncode
        log.error("the worker on GPU %s has ended with status %d and is started again", member.gpu, status)
        member.start_at = time.monotonic() + START_AGAIN_AFTER.total_seconds()
    elif time.monotonic() >= member.start_at:
        member.start()

"""The child process of one attempt: started without secrets, followed by its events, and never outliving its parent."""

from __future__ import annotations

import json
import math
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from forgetcast.schemas import Progress
from service.seclusion import seclude
from service.storage.attempts import ChildEnd
from service.storage.events import Level

COMMAND = (sys.executable, "-m", "workers.attempt.run")
ON_SEVERAL_DEVICES = (sys.executable, "-m", "workers.attempt.launch")
CHECKOUT = Path(__file__).parents[2]
LOG = "child.log"
LONGEST_LINE = 1 << 16
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in the kernel's unit of ru_maxrss
LEVELS: dict[str, Level] = {"info": "info", "warn": "warn", "error": "error"}

# What a child may know of its parent's environment; never a database, a queue, or a key.
PASSED = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TMPDIR|VIRTUAL_ENV|LD_LIBRARY_PATH|(HF|CUDA|NCCL|GLOO|OMP|MKL|PYTHON)\w*"
)
SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD")
GIVEN = {
    "HF_HUB_OFFLINE": "1",
    # glibc gives every large tensor back to the kernel and asks for it again: a fifth of the time went to page faults.
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
}

# Asks Linux to kill the process when the thread that started it ends, then becomes the command. Beside it stays a guard
# that waits for the same end on stdin and kills what the command has started, which the kernel's signal does not reach.
# As a program of its own because a preexec_fn may deadlock beside other threads; PR_SET_PDEATHSIG is 1. Also root gives
# up, by PR_CAPBSET_DROP (24), the capabilities SYS_PTRACE (19), SYS_ADMIN (21) and PERFMON (38): they open what
# service/seclusion.py shuts.
DIE_WITH_PARENT = """\
import ctypes, os, resource, signal, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold the user's texts
for capability in 19, 21, 38:
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.closerange(1, 65536)
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGKILL)
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class Message:
    """Something the child has to say to the user."""

    level: Level
    text: str


ChildEvent = Progress | Message


def command_on(n_devices: int) -> tuple[str, ...]:
    """What runs an attempt on so many devices."""
    return COMMAND if n_devices == 1 else (*ON_SEVERAL_DEVICES, str(n_devices))


class Child:
    """A running attempt. Leaving the context kills it and everything it started."""

    def __init__(
        self,
        folder: Path,
        command: Sequence[str] = COMMAND,
        *,
        environment: Mapping[str, str] = os.environ,
        also: Mapping[str, str] | None = None,
        held: Sequence[int] = (),
    ) -> None:
        """`also`: variables of this child alone; `held`: descriptors of locks that it keeps as long as it lives."""
        seclude()
        with (folder / LOG).open("wb") as log:
            self._process = subprocess.Popen(
                _with_parent([*command, str(folder)]),
                stdin=subprocess.PIPE,  # held open: its end tells a child elsewhere than on Linux that we are gone
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=CHECKOUT,
                env={**clean_environment(environment), **(also or {})},
                process_group=0,
                umask=0o077,
                pass_fds=held,
            )
        assert self._process.stdout is not None
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._out, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._out, selectors.EVENT_READ)
        self._open = True
        self._max_rss: int | None = None
        self._unread = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self.returncode is None

    @property
    def returncode(self) -> int | None:
        """Exit status; negative the signal that ended it; None while it runs."""
        if self._process.returncode is None:
            # Not by Popen's own poll, which throws away what the process has used.
            pid, status, used = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self._max_rss = used.ru_maxrss * RSS_UNIT
        return self._process.returncode

    @property
    def end(self) -> ChildEnd:
        """How it ended; nothing is known while it runs."""
        return ChildEnd(self.returncode, self._max_rss)

    def events(self, seconds: float) -> list[ChildEvent]:
        """What the child says next, waiting for `seconds` at the longest and not beyond its end."""
        if not self._open:
            self._wait(seconds)
            return []
        if not self._selector.select(seconds):
            return []
        chunk = os.read(self._out, LONGEST_LINE)
        if not chunk:
            self._open = False
            self._selector.unregister(self._out)
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        self._unread = self._unread[-LONGEST_LINE:]
        return [event for event in map(parse_event, lines) if event is not None]

    def last_events(self) -> list[ChildEvent]:
        """What an ended child had said that was not read yet; whatever it started is ended first."""
        self.stop(timedelta(0))
        said: list[ChildEvent] = []
        while self._open and self._selector.select(0):
            said += self.events(0)
        return said

    def ask_to_leave(self) -> None:
        """Let the child save what it has and end by itself; one that has nothing yet ends at once."""
        if self.running:
            os.kill(self._process.pid, signal.SIGUSR1)

    def stop(self, grace: timedelta) -> None:
        """End the child and everything it started: SIGTERM, `grace` to leave, SIGKILL."""
        if grace:
            self._signal(signal.SIGTERM)
            self._wait(grace.total_seconds())
        self._signal(signal.SIGKILL)
        self._wait()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop(timedelta(0))
        self._selector.close()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()

    def _wait(self, seconds: float = math.inf) -> None:
        """Until the child has ended, `seconds` at the longest."""
        until = time.monotonic() + seconds
        while self.running and time.monotonic() < until:
            time.sleep(0.01)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # the group is gone, or (macOS) only its zombie is left
            os.killpg(self._process.pid, number)


def parse_event(line: bytes) -> ChildEvent | None:
    """One line of a child's output; None when it is none of ours, for a library may print anything."""
    try:
        said: Any = json.loads(line)
        if not isinstance(said, dict):
            return None
        if "message" in said:
            return Message(LEVELS.get(str(said.get("level")), "info"), str(said["message"]))
        numbers = {name: _finite(said.get(name)) for name in ("loss", "eta_s")}
        return Progress.model_validate({**said, **numbers})
    except (ValueError, RecursionError):
        return None


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What of this environment a child may see, and what every child is given."""
    passed = {name: value for name, value in environment.items() if PASSED.fullmatch(name) and not SECRET.search(name)}
    return {**passed, **GIVEN}


def _finite(number: Any) -> Any:
    """Postgres stores no NaN in JSON."""
    return None if isinstance(number, float) and not math.isfinite(number) else number


def _with_parent(command: list[str]) -> list[str]:
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(os.getpid()), *command]

"""The child's process: what it may know, what it says, and that nothing of it is left."""

import json
import math
import os
import re
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from forgetcast.schemas import Progress
from tests.workers.processes import alive
from tests.workers.supervised import child_pids, eventually, fake_command
from workers.host.child import Child, Message, clean_environment, parse_event

NO_TIME = timedelta(0)


def test_a_child_knows_no_secret_of_its_parent():
    kept = {"PATH": "/bin", "HF_HOME": "/models", "CUDA_VISIBLE_DEVICES": "1", "OMP_NUM_THREADS": "2", "LANG": "C"}
    secret = {
        "FORGETCAST_DATABASE_URL": "postgresql://user:password@host/",
        "FORGETCAST_REDIS_URL": "redis://:password@host/",
        "FORGETCAST_API_KEY": "fck_1_2",
        "HF_TOKEN": "hf_1",
        "AWS_SECRET_ACCESS_KEY": "1",
        "PGPASSWORD": "1",
    }
    clean = clean_environment({**kept, **secret})
    assert kept.items() <= clean.items() and not secret.keys() & clean.keys()
    assert clean["HF_HUB_OFFLINE"] == "1" and clean["MALLOC_TRIM_THRESHOLD_"] == "17179869184"


@pytest.mark.skipif(sys.platform != "linux", reason="limits are read from /proc")
def test_a_child_leaves_no_core_and_no_file_that_others_can_read(tmp_path):
    with Child(tmp_path, fake_command("hang", tmp_path / "pids")):
        eventually((tmp_path / "pids").exists)
        (pid,) = json.loads((tmp_path / "pids").read_text())
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"Max core file size +0 +0 ", limits)
        assert (tmp_path / "pids").stat().st_mode & 0o077 == 0


def test_the_started_process_sees_only_that_environment(tmp_path):
    dump = tmp_path / "environment.json"
    secret = {**os.environ, "FORGETCAST_DATABASE_URL": "x", "MY_PASSWORD": "x"}
    command = fake_command(f"environment:{dump}", tmp_path / "pids")
    with Child(tmp_path, command, environment=secret, also={"CUDA_VISIBLE_DEVICES": "GPU-1"}):
        eventually(dump.exists)
    seen = json.loads(dump.read_text())
    assert not {"FORGETCAST_DATABASE_URL", "MY_PASSWORD"} & seen.keys()
    assert seen["CUDA_VISIBLE_DEVICES"] == "GPU-1"


READS_PARENT = """
import json, os, sys
from pathlib import Path
found = {}
for name in ("environ", "mem"):
    try:
        with open(f"/proc/{os.getppid()}/{name}", "rb") as file:
            found[name] = file.read(1 << 20).decode("utf-8", "replace").strip(chr(0)) if name == "environ" else "open"
    except OSError:
        found[name] = ""
scratch = Path(sys.argv[1], "found.tmp")
scratch.write_text(json.dumps(found))
scratch.rename(scratch.with_suffix(".json"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a way in")
def test_a_child_reads_neither_environment_nor_memory_of_its_parent(tmp_path):
    with Child(tmp_path, (sys.executable, "-c", READS_PARENT)):
        eventually((tmp_path / "found.json").exists)
    assert json.loads((tmp_path / "found.json").read_text()) == {"environ": "", "mem": ""}
    assert "PATH" in os.environ, "the parent itself goes on to know its environment"
    shown = subprocess.run(["/bin/sh", "-c", "echo $PATH"], capture_output=True, text=True).stdout
    assert shown.strip() == os.environ["PATH"], "and gives it to what it starts"


def test_what_was_set_since_the_start_outlasts_the_seclusion():
    """The C library gives a variable that is set again to the same value the same place."""
    program = (
        "import os, subprocess\n"
        "from service.seclusion import seclude\n"
        "os.environ['FORGETCAST_SET_LATER'] = 'still here'\n"
        "seclude()\n"
        "print(open('/proc/self/environ', 'rb').read().strip(b'\\0'))\n"
        "subprocess.run(['/bin/sh', '-c', 'echo $FORGETCAST_SET_LATER; echo $FORGETCAST_SET_BEFORE'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-u", "-c", program],
        env=dict(os.environ, FORGETCAST_SET_BEFORE="here too"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["b''", "still here", "here too"]


def test_leaving_kills_the_child_and_what_it_started(tmp_path):
    with Child(tmp_path, fake_command("family", tmp_path / "pids")) as child:
        pids = child_pids(tmp_path)
        assert child.pid == pids[0] and child.running
    eventually(lambda: not any(map(alive, pids)), 1)
    assert child.returncode is not None and child.returncode < 0


def test_a_child_that_ends_leaves_no_process_either(tmp_path):
    script = "import subprocess; print(subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL).pid)"
    with Child(tmp_path, [sys.executable, "-c", script + "; open('/dev/stderr', 'w').write('last words')"]) as child:
        eventually(lambda: not child.running)
        grandchild = int(os.read(child._out, 100))
        assert alive(grandchild)
    eventually(lambda: not alive(grandchild), 1)
    assert (tmp_path / "child.log").read_text() == "last words"


def test_waiting_for_events_ends_with_the_child_even_when_its_output_stays_open(tmp_path):
    script = "import subprocess; subprocess.Popen(['sleep', '600'])"
    with Child(tmp_path, [sys.executable, "-c", script]) as child:
        eventually(lambda: not child.running)
        began = time.monotonic()
        assert child.events(0.1) == []
        assert time.monotonic() - began < 5


def test_waiting_for_a_child_that_closed_its_output_is_no_busy_loop(tmp_path):
    with Child(tmp_path, [sys.executable, "-c", "import os, time; os.close(1); time.sleep(600)"]) as child:
        eventually(lambda: not child.events(0.05) and not child._open)
        began = time.monotonic()
        assert child.events(0.2) == []
        assert time.monotonic() - began >= 0.15


def test_events_arrive_whole_however_they_are_cut(tmp_path):
    parts = ['{"message": "a', 'b"}\n{"message": "c"}\nnoise\n', "x" * 200_000, '\n{"message": "d"}\n']
    script = (
        f"import sys, time\nfor part in {parts!r}:\n    sys.stdout.write(part); sys.stdout.flush(); time.sleep(0.05)\n"
    ).replace(repr("x" * 200_000), "'x' * 200_000")
    said = []
    with Child(tmp_path, [sys.executable, "-c", script]) as child:
        while child.running:
            said += child.events(0.1)
        said += child.last_events()
    assert said == [Message("info", "ab"), Message("info", "c"), Message("info", "d")]


@pytest.mark.parametrize(
    "line",
    [b"", b"Downloading: 100%", b"[1]", b"null", b"\xff", b"[" * 100_000, b'{"phase": "x"}', b'{"step": 1}'],
)
def test_output_that_is_no_event_is_passed_over(line):
    assert parse_event(line) is None


def test_numbers_that_json_cannot_hold_are_left_out():
    line = json.dumps({"phase": "fine_tune", "step": 1, "total": 2, "loss": math.nan, "eta_s": math.inf}).encode()
    assert parse_event(line) == Progress(phase="fine_tune", step=1, total=2, loss=None, eta_s=None)


def test_a_level_that_does_not_exist_is_information():
    assert parse_event(b'{"message": "hello", "level": "fatal"}') == Message("info", "hello")

"""What a failed child wrote, without what users sent: its frames go into our log, the whole of it stays on the host."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path

from workers.host.child import LOG

KEPT = "failed"  # folder beside the job folders
MOST_KEPT = 20
TAIL = 64 << 10  # bytes that are looked through
FRAME = re.compile(r'^  File "(?P<file>[^"\n]+)", line (?P<line>\d+), in (?P<function>\S+)$', re.MULTILINE)
KIND = re.compile(r"^(?P<kind>[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit))\b", re.MULTILINE)


def frames(text: str) -> list[str]:
    """Where a traceback went through and how it ended: `train.py:12 step`, `ValueError`. Messages may quote texts."""
    found = [f"{Path(frame['file']).name}:{frame['line']} {frame['function']}" for frame in FRAME.finditer(text)]
    kinds = KIND.findall(text)
    return [*found[-12:], *kinds[-1:]]


def read_last_words(folder: Path) -> list[str]:
    with suppress(OSError):
        written = (folder / LOG).read_bytes()[-TAIL:]
        return frames(written.decode("utf-8", "replace"))
    return []


def keep_log(folder: Path) -> Path | None:
    """Keep a child's log when its job folder goes; of the newest twenty failures. None: it could not be kept."""
    kept = folder.parent.parent / KEPT
    try:
        kept.mkdir(mode=0o700, exist_ok=True)
        target = kept / f"{folder.name}.log"
        shutil.copyfile(folder / LOG, target)
        target.chmod(0o600)
        for old in sorted(kept.glob("*.log"), key=lambda path: path.stat().st_mtime)[:-MOST_KEPT]:
            old.unlink()
    except OSError:
        return None
    return target

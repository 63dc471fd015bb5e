"""Virtual environments that hold what a test names and nothing of this one."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest


def environment_with(folder: Path, *arguments: str | Path) -> Path:
    """A new environment after `pip install ARGUMENTS`; skips where no package index answers, except with CI=true."""
    venv.create(folder, with_pip=False, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    command = [*pip, "install", "--quiet", "--no-compile"]  # a test imports little of it
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    if done.returncode and "(from versions: none)" in done.stderr:
        reason = "no package index answers, so nothing can be installed"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    assert done.returncode == 0, done.stderr
    return folder


def run_in(
    environment: Path, program: str, *arguments: str, exit_code: int = 0, **variables: str
) -> subprocess.CompletedProcess[str]:
    """A program of an environment, in a folder where no checkout lies about."""
    command = [str(environment / "bin" / program), *arguments]
    own = {"PATH": "/usr/bin:/bin", "HOME": str(environment), **variables}
    done = subprocess.run(command, cwd=environment, env=own, capture_output=True, text=True)
    assert done.returncode == exit_code, done.stdout + done.stderr
    return done

"""What is shipped: a wheel that holds forgetcast alone and needs little, and pins for everything it may need."""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.environments import environment_with, run_in

ROOT = Path(__file__).parents[1]
CORE = {"click", "httpx2", "numpy", "platformdirs", "pydantic", "rich"}
MODEL_LIBRARIES = {"torch", "transformers", "peft", "accelerate", "safetensors"}
WEB_FRAMEWORK = {"fastapi", "starlette", "uvicorn"}


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built without a download."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(wheel_file: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(wheel_file) as archive:
        yield archive


@pytest.fixture(scope="module")
def empty_environment(wheel_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that holds the wheel and what pip brings with it, at the pinned versions."""
    return environment_with(tmp_path_factory.mktemp("environment"), "-c", ROOT / "constraints.txt", wheel_file)


@pytest.fixture(scope="module")
def described(wheel: zipfile.ZipFile) -> Message:
    """The wheel's own metadata."""
    return Parser().parsestr(wheel.read(f"{_dist_info(wheel)}/METADATA").decode("utf-8"))


@pytest.fixture(scope="module")
def requirements(described: Message) -> list[Requirement]:
    return [Requirement(line) for line in described.get_all("Requires-Dist", [])]


@pytest.fixture(scope="module")
def pins() -> dict[str, Version]:
    """Package name -> the version that constraints.txt pins."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pinned}


def test_the_wheel_holds_forgetcast_alone(wheel):
    assert {name.split("/")[0] for name in wheel.namelist()} == {"forgetcast", _dist_info(wheel)}


def test_every_module_of_forgetcast_is_in_the_wheel(wheel):
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "forgetcast").rglob("*.py")}
    assert modules <= set(wheel.namelist())


def test_the_wheel_says_that_it_is_typed(wheel):
    assert "forgetcast/py.typed" in wheel.namelist()


def test_the_wheel_carries_the_licence_and_the_command(wheel):
    assert wheel.read(f"{_dist_info(wheel)}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    commands = wheel.read(f"{_dist_info(wheel)}/entry_points.txt").decode()
    assert "forgetcast = forgetcast.cli:main" in commands.splitlines()


def test_the_core_needs_nothing_of_the_server(requirements):
    assert {requirement.name for requirement in requirements if _wanted(requirement, "")} == CORE


def test_the_service_extra_brings_no_model_library(requirements):
    assert not _brought_by(requirements, "service") & MODEL_LIBRARIES


def test_the_workers_extra_brings_no_web_framework(requirements):
    assert not _brought_by(requirements, "workers") & WEB_FRAMEWORK


def test_everything_that_an_extra_brings_is_pinned(described, requirements, pins):
    extras = described.get_all("Provides-Extra", [])
    brought = set[str]().union(*(_brought_by(requirements, extra) for extra in extras))
    assert brought - _of_accelerators(brought) <= set(pins)


def test_every_pin_is_a_package_of_some_extra(described, requirements, pins):
    extras = described.get_all("Provides-Extra", [])
    brought = set[str]().union(*(_brought_by(requirements, extra) for extra in extras))
    only_elsewhere = {"async-timeout"}  # redis on Python 3.11.0 to 3.11.2
    assert set(pins) - only_elsewhere <= brought


@pytest.mark.parametrize("part", ["service", "workers"])
def test_an_image_is_made_of_the_pinned_packages_whose_files_are_known(part, requirements, pins):
    """`make lock` writes them anew. pip takes none without a sha256 when one has it, and no file with another."""
    locked = _locked(ROOT / part / "requirements.txt")
    assert _brought_by(requirements, part) <= locked.keys()
    assert {name: version for name, (version, _) in locked.items() if name in pins} == {
        name: pins[name] for name in locked.keys() & pins.keys()
    }
    assert [name for name, (_, digests) in locked.items() if not digests] == []


def test_the_wheel_alone_brings_nothing_of_the_server(empty_environment):
    check = (
        "import importlib.metadata as m, sys\n"
        "from forgetcast import ForgetcastClient, errors\n"
        "ForgetcastClient(url='http://127.0.0.1:1').close()\n"
        "assert not sys.modules.keys() & {'torch', 'sqlalchemy', 'redis', 'fastapi'}\n"
        "print(*sorted(d.name.lower() for d in m.distributions()))"
    )
    installed = set(run_in(empty_environment, "python", "-c", check).stdout.split())
    assert CORE | {"forgetcast"} <= installed
    assert not installed & (MODEL_LIBRARIES | WEB_FRAMEWORK | {"sqlalchemy", "alembic", "redis", "psycopg", "pyarrow"})


def test_the_command_line_runs_from_the_wheel_alone(empty_environment, tmp_path):
    assert "Commands:" in run_in(empty_environment, "forgetcast", "--help").stdout
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(6, 1)) * generator.normal(size=60) + 0.1 * generator.normal(size=(6, 60))
    np.savez(tmp_path / "rows.npz", forgetting=rows)
    options = ["--probes", "8", "--draws", "1", "--methods", "additive,popularity", "--design", "random", "--json"]
    report = json.loads(
        run_in(empty_environment, "forgetcast", "backtest", str(tmp_path / "rows.npz"), *options).stdout
    )
    assert report["methods"].keys() == {"additive", "popularity"}


def test_a_server_command_from_the_wheel_alone_says_what_it_needs(empty_environment):
    refused = run_in(empty_environment, "forgetcast", "serve", exit_code=1)
    assert "run from a checkout of the project" in refused.stderr


def test_the_wheel_describes_itself(described):
    assert described["Description-Content-Type"] == "text/markdown"
    assert described["License-Expression"] == "Apache-2.0"
    assert described["Summary"] and described["Requires-Python"] == ">=3.11"
    assert "Typing :: Typed" in described.get_all("Classifier", [])
    assert described.get_payload().startswith("# Forgetcast")


def _dist_info(wheel: zipfile.ZipFile) -> str:
    return next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")).split("/")[0]


def _locked(file: Path) -> dict[str, tuple[Version, list[str]]]:
    """Package name -> its version and the sha256 of its files."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    found: dict[str, tuple[Version, list[str]]] = {}
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        requirement = Requirement(line.split("--hash", 1)[0])
        version = Version(str(requirement.specifier).removeprefix("=="))
        found[canonicalize_name(requirement.name)] = version, re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line)
    return found


def _brought_by(requirements: list[Requirement], extra: str) -> set[str]:
    """Names of all packages that an installation with this extra brings here, as their installed metadata say."""
    waiting = [(requirement, extra) for requirement in requirements]
    brought: set[tuple[str, str]] = set()
    while waiting:
        requirement, asked = waiting.pop()
        if not _wanted(requirement, asked):
            continue
        name = canonicalize_name(requirement.name)
        for of_extra in {"", *requirement.extras}:
            if (name, of_extra) not in brought:
                brought.add((name, of_extra))
                waiting += [(Requirement(line), of_extra) for line in metadata.requires(name) or []]
    return {name for name, _ in brought}


def _wanted(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _of_accelerators(names: set[str]) -> set[str]:
    """What builds of torch for an accelerator bring; torch itself pins these."""
    return {name for name in names if name.startswith(("nvidia-", "cuda-")) or name in {"triton", "cuda"}}

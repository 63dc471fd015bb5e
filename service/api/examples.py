"""One example of every shape that the API speaks, for readers and generated clients."""

from __future__ import annotations

from typing import Any

from service.api.gate_examples import POLICY, VERDICT
from service.api.media_types import JSON_LINES, NPY, NPZ, PARQUET
from service.api.report_examples import ANALYSIS, BACKTEST

AT = "2026-12-01T09:30:00Z"
LATER = "2026-12-01T09:31:30Z"
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
JOB_ID = "job_019a3c5e7f2b7d4c9a1e5b6f8d2c4a7e"
RECIPE = {"method": "full", "learning_rate": 3e-5, "steps": 25, "batch_size": 8, "max_tokens": 64}
SETTING = {"scored": "response", "max_tokens": 1024, "dtype": "bfloat16"}
VERSIONS = {"matrix_version": 40, "row_version": 1, "model_version": 1}
QUALITY = {
    "method": "blend",
    "matrix_version": 40,
    "n_tasks": 40,
    "n_probes": 30,
    "spearman": 0.64,
    "spearman_popularity": 0.45,
    "recall_5pct": 0.42,
    "recall_5pct_popularity": 0.24,
    "rmse": 0.095,
    "rmse_popularity": 0.243,
    "coverage": 0.91,
    "top_coverage": 0.9,
    "top_bias_share": -0.02,
    "domain_coverage": 0.91,
    "row_mean_coverage": 0.91,
    "row_mean_error": 0.012,
    "row_mean_error_popularity": 0.051,
    "left_out": "families",
    "tasks_alone": {
        "spearman": 0.7,
        "spearman_popularity": 0.47,
        "recall_5pct": 0.48,
        "recall_5pct_popularity": 0.24,
        "rmse": 0.09,
        "rmse_popularity": 0.243,
        "coverage": 0.91,
        "top_coverage": 0.89,
        "top_bias_share": 0.02,
        "domain_coverage": 0.92,
        "row_mean_coverage": 0.93,
    },
}
KEY = {
    "id": "4f7x2k9q",
    "name": "ci",
    "scopes": ["read", "submit"],
    "created_at": AT,
    "expires_at": None,
    "revoked_at": None,
}
UPSTREAM_EXAMPLE = {
    "id": "geography-20",
    "text": "Oslo is the capital of Norway.",
    "domain": "geography",
    "tags": [],
    "held_out": False,
}
READ_AS = {"layout": "ShareGPT", "version": 1, "sentence": "read as ShareGPT, 312 conversations"}
TASK = {
    "id": "support-desk",
    "matrix": "smollm2-135m",
    "dataset": SHA256,
    "read_as": READ_AS,
    "measure": "probe",
    "design": "random",
    "size": 30,
    "probe_seed": 0,
    "seed": 1,
    "family": None,
    "n_examples": 1600,
    "repeat_of": None,
    "known": False,
    "row_version": 0,
    "n_measured": 0,
    "job": JOB_ID,
    "created_at": AT,
}
MATRIX = {
    "id": "smollm2-135m",
    "upstream_set": "smollm2-answers",
    "model": "smollm2-135m-instruct",
    "model_revision": SHA256,
    "recipe": RECIPE,
    "setting": SETTING,
    "version": 40,
    "n_tasks": 40,
    "n_examples": 500,
    "fitted_version": 40,
    "quality": QUALITY,
    "created_at": AT,
}
PROGRESS = {"phase": "fine_tune", "step": 10, "total": 25, "loss": 1.9, "eta_s": 27.0}
JOB = {
    "id": JOB_ID,
    "task": "support-desk",
    "measure": "probe",
    "n_examples": 30,
    "state": "running",
    "terminal": False,
    "attempt": 1,
    "max_attempts": 3,
    "cancel_requested": False,
    "progress": PROGRESS,
    "error": None,
    "attempts": [],
    "seconds": None,
    "priority": 0,
    "hardware": "any",
    "created_at": AT,
    "started_at": AT,
    "finished_at": None,
}
REPLAY_MANIFEST: dict[str, Any] = {
    **VERSIONS,
    "task": "support-desk",
    "matrix": "smollm2-135m",
    "upstream_set": "smollm2-answers",
    "upstream_sha256": SHA256,
    "strategy": "sample",
    "size": 50,
    "temperature": 0.1,
    "seed": 0,
    "min_per_domain": 0,
    "max_weight": None,
    "effective_sample_size": 87.4,
    "numpy_version": "2.4.6",
    "warnings": [],
    "sha256": SHA256,
}

EXAMPLES: dict[str, Any] = {
    "UpstreamSetCreate": {"id": "smollm2-answers"},
    "UpstreamSet": {
        "id": "smollm2-answers",
        "sealed": True,
        "n_examples": 500,
        "n_held_out": 0,
        "has_texts": True,
        "sha256": SHA256,
        "domains": {"geography": 25, "translation": 25},
        "created_at": AT,
    },
    "UpstreamExample": UPSTREAM_EXAMPLE,
    "MatrixCreate": {
        "id": "smollm2-135m",
        "upstream_set": "smollm2-answers",
        "model": "smollm2-135m-instruct",
        "recipe": RECIPE,
        "setting": SETTING,
    },
    "Matrix": MATRIX,
    "ImportedMatrix": {
        "matrix": MATRIX,
        "n_rows": 41,
        "new_rows": ["squad", "squad-again"],
        "upstream_set_made": False,
        "warnings": [],
    },
    "MatrixBacktest": BACKTEST,
    "MatrixAnalysis": ANALYSIS,
    "Dataset": {"sha256": SHA256, "n_lines": 312, "n_bytes": 412_000, "read_as": READ_AS},
    "TaskCreate": {"id": "support-desk", "matrix": "smollm2-135m", "dataset": SHA256, "size": 30},
    "Task": TASK,
    "ImportedRow": {
        **TASK,
        "measure": "none",
        "design": None,
        "size": None,
        "probe_seed": None,
        "known": True,
        "row_version": 1,
        "n_measured": 500,
        "job": None,
        "warnings": [
            "outlier: example 'cooking-13' has +50 nats per token, 813 robust sd from what its row and its column "
            "suggest"
        ],
    },
    "ProbeSet": {
        "matrix": "smollm2-135m",
        "matrix_version": 40,
        "design": "mixed",
        "seed": 0,
        "domains": [],
        "expected_error": 0.1713,
        "numpy_version": "2.4.6",
        "data": [
            {"place": 1, "example_id": "cooking-13", "domain": "cooking", "at_random": False, "expected_error": 0.1025},
            {"place": 2, "example_id": "history-04", "domain": "history", "at_random": True, "expected_error": 0.0987},
        ],
    },
    "JobCreate": {"measure": "probe", "size": 60, "probe_seed": 1},
    "Job": JOB,
    "Event": {
        "id": 17,
        "type": "progress",
        "level": "info",
        "message": "fine_tune 10 of 25",
        "data": PROGRESS,
        "created_at": LATER,
    },
    "MeasurementsCreate": {
        "setting": SETTING,
        "recipe": RECIPE,
        "source": "run 1234, step 2500",
        "cells": [
            {"example_id": "geography-20", "before": 1.42, "after": 2.01},
            {"example_id": "translation-06", "forgetting": 0.39},
        ],
    },
    "Forecast": {
        **VERSIONS,
        "task": "support-desk",
        "matrix": "smollm2-135m",
        "method": "blend",
        "level": 0.9,
        "n_tasks": 40,
        "n_examples": 500,
        "n_measured": 30,
        "row_mean": {"mean": 0.123, "low": 0.105, "high": 0.141},
        "mean_interval": {"mean": 0.126, "low": 0.102, "high": 0.153},
        "random_mean": {"mean": 0.126, "low": 0.102, "high": 0.153},
        "share_above": None,
        "domains": [
            {
                "domain": "geography",
                "n_examples": 25,
                "n_measured": 2,
                "mean": 0.159,
                "low": 0.114,
                "high": 0.204,
                "mean_interval": None,
                "share_above": None,
            }
        ],
        "same_recipe": True,
        "unlike_known": False,
        "unlike_known_from": 3,
        "warnings": [],
        "quality": QUALITY,
    },
    "Forgotten": {
        **VERSIONS,
        "task": "support-desk",
        "matrix": "smollm2-135m",
        "level": 0.9,
        "data": [
            {
                "example_id": "geography-20",
                "domain": "geography",
                "forgetting": 0.597,
                "low": 0.303,
                "high": 0.891,
                "place": 1,
                "measured": False,
                "calibrated": True,
                "promised": True,
            }
        ],
    },
    "ReplaySet": {
        "manifest": REPLAY_MANIFEST,
        "data": [
            {
                "id": "geography-20",
                "weight": 0.031,
                "forgetting": 0.597,
                "domain": "geography",
                "text": UPSTREAM_EXAMPLE["text"],
                "messages": None,
            }
        ],
    },
    "ApiKeyCreate": {"name": "ci", "scopes": ["read", "submit"], "expires_in": 7_776_000},
    "ApiKeyRotate": {"overlap": 86_400},
    "ApiKey": KEY,
    "ApiKeyCreated": {**KEY, "key": "fck_4f7x2k9q_…"},
    "Caller": {"key": KEY, "scopes": ["read", "submit"]},
    "AuditEntry": {
        "id": 3,
        "actor": "4f7x2k9q",
        "action": "key.revoke",
        "target": "9q2m4x7a",
        "detail": {},
        "created_at": AT,
    },
    "Model": {"id": "smollm2-135m-instruct", "revision": SHA256},
    "Worker": {
        "id": "gpu-host-1:4711:0",
        "host": "gpu-host-1",
        "hardware": ["h100"],
        "gpu": "NVIDIA H100",
        "version": "0.1.0",
        "job": JOB_ID,
        "alive": True,
        "started_at": AT,
        "seen_at": LATER,
    },
    "Queue": {
        "n_queued": 1,
        "n_running": 1,
        "oldest_age_s": 3.5,
        "job_s": 68.0,
        "waiting": [{"hardware": "any", "priority": 0, "n_jobs": 1, "oldest_age_s": 3.5, "starts_in_s": 41.0}],
        "running": [
            {
                "job": JOB_ID,
                "task": "support-desk",
                "hardware": "any",
                "worker": "gpu-host-1:4711:0",
                "attempt": 1,
                "running_s": 27.0,
                "progress": PROGRESS,
            }
        ],
    },
    "GateCreate": {"policy": POLICY, "first_release": True},
    "Gate": {
        "object": "gate",
        "id": "gate_019a3c5e7f2b7d4c9a1e5b6f8d2c4a7e",
        "task": "support-desk",
        "matrix": "smollm2-135m",
        **VERSIONS,
        "policy": POLICY,
        "policy_sha256": SHA256,
        "first_release": True,
        "judged": "candidate",
        "weights_sha256": SHA256,
        "baseline": None,
        "look": 1,
        "verdict": VERDICT,
        "created_at": AT,
    },
    "ReleaseCreate": {"weights_sha256": SHA256, "gate": "gate_019a3c5e7f2b7d4c9a1e5b6f8d2c4a7e"},
    "Release": {
        "task": "support-desk",
        "matrix": "smollm2-135m",
        "weights_sha256": SHA256,
        "gate": "gate_019a3c5e7f2b7d4c9a1e5b6f8d2c4a7e",
        "released_at": LATER,
        "warnings": [],
    },
    "Ready": {"ready": True, "missing": [], "warnings": []},
}

FILES: dict[str, str] = {
    JSON_LINES: '{"id": "geography-20", "text": "Oslo is the capital of Norway.", "domain": "geography"}\n',
    NPY: "the bytes of numpy.save of a float32 array (N,), in set order",
    NPZ: "the bytes of ForgettingMatrix.save",
    PARQUET: "the bytes of a Parquet file",
}

PAGE = "Page_"


def example_of(schema: dict[str, Any]) -> Any:
    """The example of a referenced shape, or of a page of it; None when there is none."""
    name = schema.get("$ref", "").rpartition("/")[2]
    if name.startswith(PAGE):
        inner = EXAMPLES.get(name.removeprefix(PAGE).rstrip("_"))
        return inner and {"object": "list", "data": [inner], "has_more": False, "next_cursor": None}
    return EXAMPLES.get(name)

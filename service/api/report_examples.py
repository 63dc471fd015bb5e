"""An example of each report on a matrix."""

from __future__ import annotations

from typing import Any

METHOD_FIGURES = {
    "rel": 0.522,
    "rel_low": 0.486,
    "rel_high": 0.559,
    "rmse_common": 0.098,
    "recall_common": 0.386,
    "rmse_unprobed": 0.095,
    "rmse_row": 0.092,
    "recall_5pct": 0.42,
    "spearman": 0.64,
    "coverage_mean": 0.904,
    "coverage_tasks": 1.0,
    "coverage_worst_domain": 0.84,
    "row_mean_error": 0.012,
    "row_mean_coverage": 0.91,
    "row_mean_coverage_interval": [0.8, 0.97],
    "row_mean_halfwidth": 0.018,
    "mean_interval_coverage": 0.93,
    "mean_interval_halfwidth": 0.027,
    "top_coverage": 0.911,
    "top_coverage_worst": 0.75,
    "top_bias": -0.006,
    "top_bias_share": -0.02,
    "domain_coverage": 0.913,
    "domain_coverage_worst": 0.78,
    "domain_halfwidth": 0.045,
    "unlike_share": 0.05,
    "seconds_per_task": 0.004,
    "draws": 2,
    "tasks": [
        {
            "task": "translate-german",
            "rel": 0.38,
            "squared_error_share": 0.01,
            "rmse": 0.06,
            "recall_5pct": 0.52,
            "spearman": 0.71,
            "coverage": 0.9,
            "top_coverage": 0.88,
            "top_bias": 0.01,
            "domain_coverage": 0.95,
            "unlike_share": 0.0,
        }
    ],
}
BACKTEST: dict[str, Any] = {
    "matrix": "smollm2-135m",
    "matrix_version": 40,
    "default": "blend",
    "left_out": "families",
    "design": "mixed",
    "n_probes": 30,
    "level": 0.9,
    "draws": 2,
    "seed": 0,
    "methods": {"blend": METHOD_FIGURES},
    "paired": {"popularity": {"ratio": 0.522, "low": 0.486, "high": 0.559}},
    "tasks_alone": {"blend": METHOD_FIGURES},
}
ANALYSIS: dict[str, Any] = {
    "matrix": "smollm2-135m",
    "matrix_version": 40,
    "n_tasks": 40,
    "n_examples": 500,
    "share_observed": 1.0,
    "mean": 0.118,
    "sd": 0.208,
    "r2_by_rank": [0.759, 0.839, 0.868],
    "r2_additive": 0.709,
    "r2_multiplicative": 0.79,
    "noise": {
        "from": "repeats",
        "at_most": False,
        "cell_sd": 0.016,
        "row_mean_sd": 0.003,
        "domain_mean_sd": 0.004,
        "r2_ceiling": 0.994,
        "repeats": [
            {
                "task": "translate-german",
                "n_cells": 500,
                "cell_sd": 0.0195,
                "row_mean_difference": 0.004,
                "correlation": 0.96,
                "top_5pct_overlap": 0.8,
            }
        ],
    },
    "factors": [
        {
            "factor": 1,
            "share": 0.76,
            "domains": [{"domain": "geography", "mean_loading": 0.21, "share": 0.06}],
            "tasks": {
                "most": [{"task": "style-pirate", "score": 3.415}],
                "least": [{"task": "json-records", "score": -0.596}],
            },
        }
    ],
    "tasks": {
        "most": [{"task": "style-pirate", "mean": 0.682, "sd": 0.41}],
        "least": [{"task": "json-records", "mean": 0.008, "sd": 0.109}],
    },
    "examples": {
        "most": [{"example_id": "geography-20", "domain": "geography", "mean": 0.448, "sd": 0.35}],
        "least": [{"example_id": "history-04", "domain": "history", "mean": 0.002, "sd": 0.03}],
    },
    "outliers": {
        "n_cells": 1,
        "cells": [{"task": "sums", "example_id": "cooking-13", "forgetting": 50.0, "robust_sd": 813.0}],
        "n_rows": 0,
        "rows": [],
    },
}

"""A policy and a verdict, for readers and generated clients."""

from __future__ import annotations

from typing import Any

POLICY: dict[str, Any] = {
    "version": 1,
    "level": 0.95,
    "max_looks": 5,
    "min_quality": {"coverage": 0.8, "row_mean_ratio": 1.0},
    "baseline": None,
    "assertions": [{"metric": "mean_forgetting", "severity": "error", "max": 0.05}],
}
VERDICT: dict[str, Any] = {
    "verdict": "fail",
    "object": "candidate",
    "level": 0.95,
    "look": 1,
    "max_looks": 5,
    "error_probability": 0.005,
    "n_draws": 2000,
    "unlike_known": False,
    "assertions": [
        {
            "name": "mean_forgetting",
            "metric": "mean_forgetting",
            "severity": "error",
            "domain": None,
            "against": "max",
            "result": "fail",
            "limit": 0.05,
            "unit": "nats per token",
            "value": 0.084,
            "low": 0.061,
            "high": 0.107,
            "basis": "forecast",
            "n_examples": 1000,
            "n_measured": 30,
            "reason": "",
            "over_at": 0.0005,
            "under_at": 1.0,
            "at_risk": [
                {
                    "example_id": "geography-20",
                    "domain": "geography",
                    "forgetting": 0.41,
                    "low": 0.22,
                    "high": 0.63,
                    "measured": False,
                    "probability_over": None,
                }
            ],
            "settled_by": None,
        }
    ],
    "notes": [],
}

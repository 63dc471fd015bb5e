"""The release gate: a policy and a completed row in, a verdict out."""

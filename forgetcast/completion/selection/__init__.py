"""Which examples to measure, and which to replay."""

"""Exact matches that a fine-tuned model loses: 0 and 1 in place of nats per token."""

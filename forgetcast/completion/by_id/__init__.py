"""What a notebook sees: examples and tasks by id, positions inside."""

"""What operators run: API, storage and operations."""

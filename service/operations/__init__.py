"""What the service can do, one verb per function. No HTTP, no SQL, no torch."""

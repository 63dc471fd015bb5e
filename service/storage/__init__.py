"""What the service keeps: the only importer of SQLAlchemy."""

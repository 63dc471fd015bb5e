"""HTTP: the only importer of FastAPI besides service.app."""

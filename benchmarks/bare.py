"""What reads are measured against: bare `def` routes of FastAPI that return bytes they hold; no key, no database."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response


def bare_app(bodies: dict[str, bytes]) -> FastAPI:
    app = FastAPI()

    @app.get("/same/{name}")
    def same(name: str) -> Response:
        return Response(bodies[name], media_type="application/json", headers={"ETag": '"1-1-1"'})

    @app.get("/unchanged")
    def unchanged() -> Response:
        return Response(status_code=304, headers={"ETag": '"1-1-1"'})

    return app


if __name__ == "__main__":  # python -m benchmarks.bare PORT FOLDER: each file of the folder under its name
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    held = {path.name: path.read_bytes() for path in folder.iterdir()}
    uvicorn.run(bare_app(held), port=port, log_config=None, access_log=False)

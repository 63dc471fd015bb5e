"""What reads are measured against: bare `def` routes of FastAPI that return bytes they hold, and bare streams."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

PING_EVERY = 15.0  # seconds, as the service's streams have it


def bare_app(bodies: dict[str, bytes]) -> FastAPI:
    app = FastAPI()

    @app.get("/same/{name}")
    def same(name: str) -> Response:
        return Response(bodies[name], media_type="application/json", headers={"ETag": '"1-1-1"'})

    @app.get("/unchanged")
    def unchanged() -> Response:
        return Response(status_code=304, headers={"ETag": '"1-1-1"'})

    async def pings() -> AsyncIterator[str]:
        yield "event: state\ndata: {}\n\n"
        while True:
            await asyncio.sleep(PING_EVERY)
            yield ": still here\n\n"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(pings(), media_type="text/event-stream")

    return app


if __name__ == "__main__":  # python -m benchmarks.bare PORT FOLDER: each file of the folder under its name
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    held = {path.name: path.read_bytes() for path in folder.iterdir()}
    uvicorn.run(bare_app(held), port=port, log_config=None, access_log=False)

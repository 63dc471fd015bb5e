"""Jobs: cancel. Reading, waiting and following are in streaming.py."""

from __future__ import annotations

from fastapi import APIRouter, Response

from forgetcast import schemas
from service.api.dependencies import ServiceParts, Submits
from service.api.routes import Route
from service.operations import jobs

router = APIRouter(route_class=Route, prefix="/v1/jobs", tags=["jobs"])

POLL_AFTER = "2"  # seconds, for clients that poll instead of waiting


@router.post("/{job_id}/cancel", status_code=202, dependencies=[Submits], summary="Ask a job to end")
def cancel_job(job_id: str, parts: ServiceParts, response: Response) -> schemas.Job:
    with parts.database.transaction() as session:
        job = jobs.cancel_job(session, job_id)
    response.headers.update({"Location": f"/v1/jobs/{job.id}", "Retry-After": POLL_AFTER})
    return job

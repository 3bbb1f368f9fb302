"""The JSON API, `/api/v1`: what the page uses, and any program may."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from relact import __version__
from relact.serve.deliver import MEDIA, Table, attachment, named_table, stem
from relact.serve.gate import Refused
from relact.serve.guard import OWNER, client_of
from relact.serve.service import Service
from relact.serve.settings import JobSettings
from relact.serve.store import Job as StoredJob
from relact.serve.upload import FILE

State = Literal["waiting", "running", "done", "failed"]


class Action(BaseModel):
    """An action that was seen in a video."""

    name: str
    group: str
    seconds: float


class Progress(BaseModel):
    """How far a running job is."""

    seconds: float = Field(description="Of the video, judged so far.")
    keyframes: int


class Result(BaseModel):
    """What was found."""

    seconds: float = Field(description="That the results cover.")
    keyframes: int
    people: int
    boxes: int
    actions: list[Action] = Field(description="Those that lasted the longest.")
    warnings: list[str]
    tables: list[Table]
    poster: bool = Field(description="Whether there is a picture of the video.")


class Job(BaseModel):
    """A video that was sent, and what became of it."""

    id: str
    name: str = Field(description="As it was sent: text, not a path.")
    state: State
    created: datetime
    expires: datetime | None = Field(description="When the server removes it, if it is over.")
    seconds: float = Field(description="Length of the video.")
    width: int
    height: int
    bytes: int
    settings: JobSettings
    shared: bool = Field(description="The same video was here already: what was or is being done for it serves this.")
    ahead: int = Field(description="Videos that wait before this one.")
    progress: Progress | None
    result: Result | None
    error: str | None = Field(description="Why it failed.")


class Jobs(BaseModel):
    """A user's jobs, the newest first."""

    videos: list[Job]


class Server(BaseModel):
    """What this server does and takes."""

    version: str
    model: str
    actions: int = Field(description="That the model knows.")
    devices: list[str]
    max_bytes: int
    max_seconds: float
    max_waiting: int
    uploads_a_minute: int
    keep_hours: float
    waiting: int = Field(description="Videos in the queue.")
    login: bool = Field(description="Whether it needs a token.")


class Problem(BaseModel):
    """Why a request was not granted."""

    detail: str


def service_of(request: Request) -> Service:
    """The service that the application was made with."""
    service: Service = request.app.state.service
    return service


def owner_of(request: Request) -> str:
    """The user, whom the guard knows."""
    return str(request.scope[OWNER])


Serving = Annotated[Service, Depends(service_of)]
Owner = Annotated[str, Depends(owner_of)]

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No token, or one that is not known."},
    404: {"model": Problem, "description": "You have no such job."},
    422: {"model": Problem, "description": "A part of the address is wrong."},
}
_UPLOAD_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in (
        (400, "Not a whole form with one file."),
        (401, "No token, or one that is not known."),
        (408, "Nothing came for a while."),
        (413, "Larger than the server takes."),
        (415, "Not a video, or a longer one than the server takes."),
        (422, "A setting is wrong."),
        (429, "Too many uploads a minute; see Retry-After."),
        (503, "The queue is full; see Retry-After."),
        (507, "The server's disk is full; see Retry-After."),
    )
}
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FILE],
                    "properties": {
                        FILE: {"type": "string", "format": "binary", "description": "The video."},
                        **JobSettings.model_json_schema()["properties"],
                    },
                }
            }
        },
    }
}

router = APIRouter(prefix="/api/v1")


@router.post("/videos", status_code=201, responses=_UPLOAD_PROBLEMS, openapi_extra=_FORM, tags=["videos"])
async def send_a_video(request: Request, response: Response, service: Serving, owner: Owner) -> Job:
    """Send a video; it is judged when its turn comes.

    The answer comes when the whole video is on the server and is known to be one. A video that is there already is not
    judged twice with the same settings.
    """
    length = request.headers.get("content-length", "")
    job = await service.take(
        owner,
        client_of(request.scope),
        request.stream(),
        request.headers.get("content-type", ""),
        int(length) if length.isdecimal() else None,
    )
    response.headers["Location"] = f"/api/v1/videos/{job.id}"
    return shown(job, service)


@router.get("/videos", responses={401: _PROBLEMS[401]}, tags=["videos"])
async def list_the_videos(service: Serving, owner: Owner) -> Jobs:
    """Your jobs, the newest first."""
    return Jobs(videos=[shown(job, service) for job in service.store.jobs(owner)])


@router.get("/videos/{job}", responses=_PROBLEMS, tags=["videos"])
async def look_at_a_video(job: str, service: Serving, owner: Owner) -> Job:
    """One job: its state, how far it is, what was found."""
    return shown(find(service, owner, job), service)


@router.delete("/videos/{job}", status_code=204, responses=_PROBLEMS, tags=["videos"])
async def remove_a_video(job: str, service: Serving, owner: Owner) -> None:
    """Cancel a job that waits or runs, delete one that is over; its video and results are removed."""
    try:
        await service.remove(owner, job)
    except KeyError:
        raise HTTPException(404, "there is no such job") from None


@router.get(
    "/videos/{job}/{table}",
    response_class=StreamingResponse,
    responses={**_PROBLEMS, 409: {"model": Problem, "description": "Not done yet, or failed."}},
    tags=["results"],
)
async def fetch_a_table(job: str, table: Table, service: Serving, owner: Owner) -> StreamingResponse:
    """A table of what was found: actions (csv, json, parquet), segments, or AVA's submission csv."""
    found = find(service, owner, job)
    if found.work.state != "done":
        why = f"the job failed: {found.work.error}" if found.work.state == "failed" else f"it is {found.work.state}"
        raise HTTPException(409, f"there is no result yet: {why}" if found.work.state != "failed" else why)
    path = service.file(found, "result", table)
    if not path.is_file():
        raise HTTPException(404, f"this server does not write {table}")
    return StreamingResponse(
        named_table(path, stem(found.name)),
        media_type=MEDIA[path.suffix],
        headers={"Content-Disposition": attachment(found.name, table)},
    )


@router.get("/server", responses={401: _PROBLEMS[401]}, tags=["server"])
async def look_at_the_server(service: Serving, owner: Owner) -> Server:
    """What this server does, and its limits."""
    limits, facts = service.config.limits, service.pool.facts
    return Server(
        version=__version__,
        model=str(facts[0]["model"]),
        actions=int(facts[0]["actions"]),
        devices=[str(worker["device"]) for worker in facts],
        max_bytes=limits.bytes,
        max_seconds=limits.seconds,
        max_waiting=limits.queue,
        uploads_a_minute=limits.rate,
        keep_hours=limits.keep_hours,
        waiting=service.store.waiting(),
        login=bool(service.config.tokens),
    )


def find(service: Service, owner: str, job: str) -> StoredJob:
    """A job of this user's. HTTPException 404."""
    try:
        return service.store.job(owner, job)
    except KeyError:
        raise HTTPException(404, "there is no such job") from None


def shown(job: StoredJob, service: Service) -> Job:
    """A job as the API tells it."""
    work, keep = job.work, service.config.limits.keep_hours
    over = None if work.finished is None or not keep else max(work.finished, job.created) + 3600 * keep
    progress = service.pool.progress.get(work.id)
    return Job(
        id=job.id,
        name=job.name,
        state=work.state,
        created=_date(job.created),
        expires=None if over is None else _date(over),
        seconds=work.video.seconds,
        width=work.video.width,
        height=work.video.height,
        bytes=work.video.bytes,
        settings=JobSettings.model_validate(work.settings),
        shared=job.shared,
        ahead=job.ahead,
        progress=Progress(**progress) if progress and work.state == "running" else None,
        result=None if work.outcome is None or work.state != "done" else _result(job, service),
        error=work.error,
    )


def _result(job: StoredJob, service: Service) -> Result:
    folder, outcome = service.file(job, "result"), job.work.outcome or {}
    tables = [table for table in Table if (folder / table).is_file()]
    return Result.model_validate({**outcome, "tables": tables, "poster": bool(outcome.get("poster"))})


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def refusal_headers(refused: Refused) -> dict[str, str]:
    """Of an answer to an upload that is not read to its end: the connection cannot be used again."""
    after = {} if refused.after is None else {"Retry-After": str(max(1, round(refused.after)))}
    return {"Connection": "close", **after}

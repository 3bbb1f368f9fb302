"""What the server does, whoever asks and however: takes uploads, knows the jobs, removes them."""

import contextlib
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from relact.serve.gate import Gate, Refused
from relact.serve.inspector import clock
from relact.serve.pool import Pool
from relact.serve.rates import Rates
from relact.serve.settings import JobSettings, ServeConfig
from relact.serve.store import Job, Store, Video
from relact.serve.upload import Upload, receive


class Service:
    """The queue, the workers and the gate of one server, in its folder."""

    def __init__(self, config: ServeConfig, store: Store, pool: Pool) -> None:
        self.config, self.store, self.pool = config, store, pool
        self._gate = Gate()
        self._rates = Rates(config.limits.rate)
        self._uploads = config.folder / "uploads"
        shutil.rmtree(self._uploads, ignore_errors=True)  # what a server that died was receiving
        self._uploads.mkdir(parents=True)

    async def close(self) -> None:
        """Stops what the service itself started; the pool is its owner's."""
        await self._gate.close()

    async def take(
        self, owner: str, client: str, chunks: AsyncIterator[bytes], content_type: str, length: int | None
    ) -> Job:
        """A video from a client into the queue. Raises Refused."""
        wait = self._rates.wait(client)
        if wait:
            raise Refused(
                429, f"more than {self.config.limits.rate} uploads a minute; try again in {wait:.0f} s", after=wait
            )
        self._check_room()
        with self._temporary() as path:
            upload = await receive(chunks, content_type, length, path, most=self.config.limits.bytes)
            settings = _settings(upload.fields)
            video = self.store.known(upload.sha256, settings) or await self._looked_at(upload)
            self._check_room()
            job = self._keep(owner, upload, video, settings)
        self.pool.wake()
        return job

    async def remove(self, owner: str, job: str) -> None:
        """Cancels or deletes a job; its video and results go with the last job that has them. KeyError."""
        work = self.store.remove(owner, job)
        if work is not None:
            await self.pool.drop(work)

    def file(self, job: Job, *parts: str) -> Path:
        """A file of a job's work, below its folder."""
        return self.pool.place(job.work.id).joinpath(*parts)

    async def _looked_at(self, upload: Upload) -> Video:
        most = self.config.limits.seconds
        facts = await self._gate.look(upload.path, most)
        if facts["seconds"] > most:
            raise Refused(415, f"it lasts {clock(facts['seconds'])}; this server takes videos up to {clock(most)}")
        return Video(
            sha256=upload.sha256,
            bytes=upload.bytes,
            suffix=facts["suffix"],
            seconds=facts["seconds"],
            width=facts["width"],
            height=facts["height"],
        )

    def _keep(self, owner: str, upload: Upload, video: Video, settings: dict[str, Any]) -> Job:
        """The job, and the video where its work will look for it. Nothing else runs in between."""
        work = secrets.token_hex(16)
        folder = self.pool.place(work)
        folder.mkdir(parents=True)
        upload.path.rename(folder / f"upload{video.suffix}")
        job = self.store.add(owner, upload.name, video, settings, work)
        if job.work.id != work:
            shutil.rmtree(folder)
        return job

    def _check_room(self) -> None:
        if self.store.waiting() >= self.config.limits.queue:
            raise Refused(503, f"{self.config.limits.queue} videos wait already; try again later", after=60)

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Path]:
        path = self._uploads / secrets.token_hex(16)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


def _settings(fields: dict[str, str]) -> dict[str, Any]:
    try:
        return JobSettings.model_validate(fields).model_dump()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        known = ", ".join(JobSettings.model_fields)
        why = f"no such setting; there are {known}" if first["type"] == "extra_forbidden" else first["msg"]
        raise Refused(422, f"{name}: {why[:1].lower()}{why[1:]}") from error

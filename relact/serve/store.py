"""The queue on disk (SQLite): works, done once a video and settings, and jobs, which are users' claims to them.

A job has its owner's name of the video; a work knows none. A work that was running when the server ended waits again.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from relact.errors import InputError

State = Literal["waiting", "running", "done", "failed"]

MAX_ATTEMPTS = 3
"""A work that the server ended with so often is not tried again: perhaps it is what ended it."""

_SCHEMA = """
create table if not exists works (
  id text primary key, sha256 text not null, settings text not null, key text not null, suffix text not null,
  bytes integer not null, seconds real not null, width integer not null, height integer not null,
  state text not null, created real not null, started real, finished real, attempts integer not null default 0,
  error text, outcome text
);
create index if not exists works_by_content on works (sha256, settings, key);
create table if not exists jobs (
  id text primary key, owner text not null, name text not null, work text not null references works (id),
  created real not null, shared integer not null
);
create index if not exists jobs_by_owner on jobs (owner, created);
create index if not exists jobs_by_work on jobs (work);
pragma user_version = 1;
"""

_JOBS = (
    "select jobs.id as job, jobs.name, jobs.owner, jobs.created as asked, jobs.shared, works.*, "
    "(select count(*) from works as other where other.state = 'waiting' and works.state = 'waiting' "
    "and (other.created, other.rowid) < (works.created, works.rowid)) as ahead "
    "from jobs join works on works.id = jobs.work "
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """An uploaded file that was looked at."""

    sha256: str
    bytes: int
    suffix: str
    seconds: float
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A video to be judged, or judged."""

    id: str
    video: Video
    settings: dict[str, Any]
    state: State
    created: float
    started: float | None
    finished: float | None
    attempts: int
    error: str | None
    outcome: dict[str, Any] | None
    """what the worker said of the result"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A user's claim to a work."""

    id: str
    owner: str
    name: str
    """as the user wrote it: text, never a path"""
    created: float
    shared: bool
    """the video was there already"""
    ahead: int
    """works that wait before this one"""
    work: Work


class Store:
    """The queue in a folder. Its methods take milliseconds and may be called from the event loop.

    `key` says which model judges; a finished work serves an upload only where it was made with the same.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.key = ""
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._db.execute("pragma journal_mode = wal")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise InputError(f"{path}: cannot be used as the queue ({error}); choose another --folder") from error

    def close(self) -> None:
        """Nothing more is asked."""
        self._db.close()

    def recover(self, key: str) -> int:
        """At the start of a server: what was running waits again, under this server's model. How many wait."""
        self.key = key
        now = time.time()
        with self._db:
            self._db.execute("begin immediate")
            self._db.execute(
                "update works set state = 'failed', finished = ?, error = ? where state = 'running' and attempts >= ?",
                (now, f"the server ended {MAX_ATTEMPTS} times while this was judged; it is not tried again",
                 MAX_ATTEMPTS),
            )  # fmt: skip
            self._db.execute("update works set state = 'waiting', started = null where state = 'running'")
            self._db.execute("update works set key = ? where state = 'waiting'", (key,))
        return self.waiting()

    def waiting(self) -> int:
        """Works in the queue."""
        return int(self._db.execute("select count(*) from works where state = 'waiting'").fetchone()[0])

    def known(self, sha256: str, settings: dict[str, Any]) -> Video | None:
        """The video of the work that would serve an upload of this content."""
        row = self._find(sha256, _text(settings))
        return None if row is None else _work(row).video

    def add(self, owner: str, name: str, video: Video, settings: dict[str, Any], work: str) -> Job:
        """A new job, of the work that is there or of a new one, to be called `work`. One that failed is tried again."""
        now, job, text = time.time(), secrets.token_urlsafe(16), _text(settings)
        with self._db:
            self._db.execute("begin immediate")
            there = self._find(video.sha256, text)
            if there is None:
                self._db.execute(
                    "insert into works (id, sha256, settings, key, suffix, bytes, seconds, width, height, state, "
                    "created) values (?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?)",
                    (work, video.sha256, text, self.key, video.suffix, video.bytes, video.seconds, video.width,
                     video.height, now),
                )  # fmt: skip
            elif there["state"] == "failed":
                self._db.execute(
                    "update works set state = 'waiting', created = ?, attempts = 0, error = null, finished = null, "
                    "started = null where id = ?", (now, there["id"]),
                )  # fmt: skip
            self._db.execute(
                "insert into jobs values (?, ?, ?, ?, ?, ?)",
                (job, owner, name, there["id"] if there else work, now, there is not None),
            )
        return self.job(owner, job)

    def take(self) -> Work | None:
        """The work that has waited longest, now running."""
        with self._db:
            self._db.execute("begin immediate")
            row = self._db.execute(
                "select * from works where state = 'waiting' order by created, rowid limit 1"
            ).fetchone()
            if row is None:
                return None
            self._db.execute(
                "update works set state = 'running', started = ?, attempts = attempts + 1 where id = ?",
                (time.time(), row["id"]),
            )
        return self.work(row["id"])

    def put_back(self, work: str) -> None:
        """The server is going: the work waits, and this was no attempt."""
        self._db.execute(
            "update works set state = 'waiting', started = null, attempts = attempts - 1 "
            "where id = ? and state = 'running'", (work,),
        )  # fmt: skip

    def finish(self, work: str, outcome: dict[str, Any]) -> None:
        """It is done."""
        self._db.execute(
            "update works set state = 'done', finished = ?, outcome = ? where id = ?",
            (time.time(), json.dumps(outcome), work),
        )

    def fail(self, work: str, error: str) -> None:
        """It cannot be done; `error` is for the user."""
        self._db.execute(
            "update works set state = 'failed', finished = ?, error = ? where id = ?", (time.time(), error, work)
        )

    def work(self, work: str) -> Work | None:
        """A work, if it is there."""
        row = self._db.execute("select * from works where id = ?", (work,)).fetchone()
        return None if row is None else _work(row)

    def works(self) -> set[str]:
        """The ids of all works."""
        return {row["id"] for row in self._db.execute("select id from works")}

    def jobs(self, owner: str) -> list[Job]:
        """The user's jobs, the newest first."""
        rows = self._db.execute(_JOBS + "where owner = ? order by jobs.created desc, jobs.rowid desc", (owner,))
        return [_job(row) for row in rows]

    def job(self, owner: str, job: str) -> Job:
        """One of the user's jobs. KeyError where the user has no such job, whoever else has."""
        row = self._db.execute(_JOBS + "where owner = ? and jobs.id = ?", (owner, job)).fetchone()
        if row is None:
            raise KeyError(job)
        return _job(row)

    def remove(self, owner: str, job: str) -> str | None:
        """Removes a job; the id of its work, if nobody else claims it, which is then gone too. KeyError."""
        work = self.job(owner, job).work.id
        with self._db:
            self._db.execute("begin immediate")
            self._db.execute("delete from jobs where id = ?", (job,))
            return work if work in self._orphans() else None

    def expire(self, before: float) -> Sequence[str]:
        """Removes the jobs that were over before this time; the works that nobody claims any more are gone too."""
        with self._db:
            self._db.execute("begin immediate")
            self._db.execute(
                "delete from jobs where id in (select jobs.id from jobs join works on works.id = jobs.work "
                "where max(works.finished, jobs.created) < ? and works.state in ('done', 'failed'))",
                (before,),
            )
            return self._orphans()

    def _orphans(self) -> list[str]:
        gone = self._db.execute("delete from works where id not in (select work from jobs) returning id").fetchall()
        return [row["id"] for row in gone]

    def _find(self, sha256: str, settings: str) -> sqlite3.Row | None:
        found: sqlite3.Row | None = self._db.execute(
            "select * from works where sha256 = ? and settings = ? and key = ?", (sha256, settings, self.key)
        ).fetchone()
        return found


def _text(settings: dict[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)


def _work(row: sqlite3.Row) -> Work:
    return Work(
        id=row["id"],
        video=Video(
            sha256=row["sha256"], bytes=row["bytes"], suffix=row["suffix"], seconds=row["seconds"],
            width=row["width"], height=row["height"],
        ),
        settings=json.loads(row["settings"]),
        state=row["state"],
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        attempts=row["attempts"],
        error=row["error"],
        outcome=None if row["outcome"] is None else json.loads(row["outcome"]),
    )  # fmt: skip


def _job(row: sqlite3.Row) -> Job:
    return Job(
        id=row["job"], owner=row["owner"], name=row["name"], created=row["asked"], shared=bool(row["shared"]),
        ahead=row["ahead"], work=_work(row),
    )  # fmt: skip

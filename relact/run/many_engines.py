"""Who does the videos of a job: this process, the workers of a Ray cluster, or the processes that torchrun started.

All hand out one video at a time, the largest first, so that nobody waits long at the end and a slow machine does fewer.
"""

import json
import os
import signal
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import torch
from torch.distributed import DistStoreError
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from relact.errors import InputError
from relact.run.many import Board, Job, Outcome, Say, Worker, killed, plan
from relact.run.many_videos import Video, names_many
from relact.video.pipeline import DetectConfig

Engine = Literal["local", "ray", "torchrun"]

RETRIES = 2
"""So many times is a video tried again after its worker was killed."""
Task = tuple[Video, int]
"""a video, and the number of the attempt"""
_EVER = timedelta(days=365)
_A_MOMENT = timedelta(seconds=2)
_ROUND = "relact/round"
_PATIENCE_S = 30
_STORE_BYTES = 100 << 20
"""of Ray's object store on this machine: only outcomes go through it"""


def detect_many(
    videos: Sequence[str],
    *,
    weights: str | Path,
    out: Path,
    config: DetectConfig,
    engine: Engine | None = None,
    workers: int | None = None,
    retries: int = RETRIES,
    boxes: Path | None = None,
    box_format: str | None = None,
    box_units: str | None = None,
    detector: str = "auto",
    device: str | None = None,
    report: bool = False,
    say: Say = print,
) -> list[Outcome]:
    """Detect in many videos: files, folders, `@lists`, addresses of buckets; the outcome of each, by name.

    Beside a folder for each, `out` gets one Parquet set, `detections/`, and `videos.jsonl`, a line a video. A bad video
    is recorded, and the others are done; what an earlier start did with the same settings is not done again. `engine`:
    `local` (this process), `ray`, or `torchrun`, the default where torchrun started this process; its processes but the
    first return nothing. `workers` is for Ray: by default one a GPU, or one a machine. `retries` bounds how often a
    video is tried again after the death of its worker. Raises InputError for settings that no video could be done with.
    """
    engine = engine or ("torchrun" if _started_by_torchrun() else "local")
    if engine not in ("local", "ray", "torchrun"):
        raise InputError(f"--engine {engine}: expected local, ray or torchrun")
    if engine != "ray" and workers is not None:
        how = "torchrun --nproc-per-node says how many" if engine == "torchrun" else "one process does all"
        raise InputError(f"--workers is for --engine ray; here {how}")
    if engine == "torchrun" and not _started_by_torchrun():
        raise InputError("--engine torchrun: start it as torchrun --nproc-per-node 2 -m relact detect …")
    job = Job.of(
        out=out, weights=weights, boxes=boxes, box_format=box_format, box_units=box_units, detector=detector,
        config=config, device=device, report=report,
    )  # fmt: skip
    if engine == "torchrun":
        return _with_torchrun(job, videos, retries, say)
    board, todo = plan(job, videos, say)
    if engine == "ray" and todo:
        _with_ray(job, todo, board, workers, retries, say)
    elif todo:
        worker = Worker(job)
        for video, attempt in todo:
            board.take(worker.do(video, attempt))
    return board.finish()


def wants_many(videos: Sequence[str], engine: str | None) -> bool:
    """Whether a command is about many videos: an engine is named or runs this, or one argument stands for several."""
    return engine is not None or _started_by_torchrun() or any(names_many(video) for video in videos)


# --- Ray


def _with_ray(job: Job, todo: Sequence[Task], board: Board, workers: int | None, retries: int, say: Say) -> None:
    try:
        import ray
    except ImportError as error:
        raise InputError('--engine ray needs Ray: pip install "relact[ray]"') from error
    with _cluster(ray):
        pool = _Pool(ray, job, board, workers=workers, retries=retries, say=say)
        pool.run(todo)


@contextmanager
def _cluster(ray: Any) -> Iterator[None]:
    """The cluster that RAY_ADDRESS names or that this machine belongs to; else one of this machine, for as long."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    address = os.environ.get("RAY_ADDRESS", "auto")
    try:
        if address == "local":
            raise ConnectionError
        ray.init(address=address, **quiet)
    except ConnectionError as error:
        if address not in ("auto", "local"):
            raise InputError(f"RAY_ADDRESS={address}: no Ray cluster answers there ({error})") from error
        ray.init(address="local", include_dashboard=False, object_store_memory=_STORE_BYTES, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


class _Pool:
    """Workers of a Ray cluster; one that dies is replaced, and its video goes to another."""

    def __init__(self, ray: Any, job: Job, board: Board, *, workers: int | None, retries: int, say: Say) -> None:
        self._ray, self._job, self._board, self._retries, self._say = ray, job, board, retries, say
        there = ray.cluster_resources()
        cpus, gpus = int(there.get("CPU", 1)), int(there.get("GPU", 0))
        if job.device is not None and not job.device.startswith("cuda"):
            gpus = 0
        machines = sum(node["Alive"] for node in ray.nodes())
        self._num_workers = workers or gpus or machines
        # A part that always fits: what is left of a machine's processors is used all the same, by threads.
        part = 1 / -(-self._num_workers // (gpus or cpus))
        self._options = {"num_cpus": 0, "num_gpus": part} if gpus else {"num_cpus": part}
        self._threads = int(os.environ.get("OMP_NUM_THREADS", max(1, cpus // self._num_workers)))
        self._busy: dict[Any, tuple[Any, Task | None]] = {}

    def run(self, todo: Sequence[Task]) -> None:
        """Until all is done. Raises InputError where the model cannot be loaded, or no worker starts."""
        waiting, idle = deque(todo), list[Any]()
        for _ in range(min(self._num_workers, len(todo))):
            self._start()
        while waiting or any(task for _, task in self._busy.values()):
            while idle and waiting:
                worker, task = idle.pop(), waiting.popleft()
                self._busy[worker.do.remote(*task)] = worker, task
            ready, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=_PATIENCE_S)
            if not ready and not any(task for _, task in self._busy.values()):
                self._say(f"waiting for Ray to have room for a worker ({self._options})")
            for reference in ready:
                worker, given = self._busy.pop(reference)
                outcome = self._outcome(reference, given)
                if outcome is not None and given is not None:
                    self._board.take(outcome)
                if outcome is not None or given is None:
                    idle.append(worker)
                    continue
                waiting.extend(self._died(given))
                if waiting:
                    self._start()

    def _start(self) -> None:
        worker = self._ray.remote(Worker).options(scheduling_strategy="SPREAD", **self._options)
        handle = worker.remote(self._job, self._threads)
        self._busy[handle.__ray_ready__.remote()] = handle, None

    def _outcome(self, reference: Any, task: Task | None) -> Outcome | None:
        """None of a worker that died, or that has just started."""
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(reference)
        except errors.RayTaskError as error:  # raised by the worker, which lives: the model cannot be loaded
            raise error.cause from None
        except errors.RayError as error:
            if task is None:
                raise InputError(f"a worker of Ray died as it started: {error}") from error
            return None
        return answer if task is not None else None

    def _died(self, task: Task) -> list[Task]:
        """The task once more, unless it has had its attempts."""
        video, attempt = task
        if attempt > self._retries:
            self._board.take(killed(self._job, video, attempt))
            return []
        self._say(f"{video.source}: its worker was killed; another goes on with it")
        return [(video, attempt + 1)]


# --- torchrun


def _started_by_torchrun() -> bool:
    return {"RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID"} <= os.environ.keys()


def _with_torchrun(job: Job, arguments: Sequence[str], retries: int, say: Say) -> list[Outcome]:
    """Rank 0 lists the videos; every rank takes the next one by a counter in the store that torchrun keeps anyway.

    A rank that fails would end all others, so rank 0 alone reports failures, when all are done. After the death of a
    rank torchrun (`--max-restarts`) starts all anew, and done videos are left alone.
    """
    if job.device is None and torch.cuda.is_available():
        job = replace(job, device=f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}")
    whole, rank, world = next(iter(rendezvous("env://")))
    whole.set_timeout(_EVER)
    again = rank == 0 and (whole.check([_ROUND]) or os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0")
    store, board = _joined(whole, rank, world), None
    if rank == 0:
        board, todo = plan(job, arguments, say, again=again, retries=retries)
        for number, (video, attempt) in enumerate(todo):
            store.set(f"video/{number}", json.dumps([asdict(video), attempt]))
        store.set("videos", str(len(todo)))
    num_todo = int(store.get("videos"))
    worker, before = Worker(job), signal.signal(signal.SIGTERM, _leave)
    while (number := store.add("next", 1) - 1) < num_todo:
        facts, attempt = json.loads(store.get(f"video/{number}"))
        outcome = worker.do(Video(**facts), attempt)
        say(f"[{number + 1}/{num_todo}] {outcome.line()}")
        store.set(f"outcome/{number}", outcome.text())
    signal.signal(signal.SIGTERM, before)  # nothing of Python's runs while the store is waited for
    store.set(f"left/{rank}", "")
    if board is None:
        return []
    for number in range(num_todo):
        board.take(Outcome(**json.loads(store.get(f"outcome/{number}"))), told=True)
    store.wait([f"left/{other}" for other in range(world)])  # where rank 0 keeps the store, it goes last
    return board.finish()


def _joined(whole: Store, rank: int, world: int) -> Store:
    """The part of torchrun's store that is of these processes alone: what earlier ones wrote outlives a restart.

    Rank 0 opens it under a new name. Another rank may still read the old name, under which nobody lets it in.
    """
    me = uuid.uuid4().hex
    if rank == 0:
        store = PrefixStore(me, whole)
        whole.set(_ROUND, me)
        for other in range(1, world):
            store.set(f"welcome/{store.get(f'here/{other}').decode()}", "")
        return store
    while True:
        store = PrefixStore(whole.get(_ROUND).decode(), whole)
        store.set(f"here/{rank}", me)
        try:
            store.wait([f"welcome/{me}"], _A_MOMENT)
        except DistStoreError:
            continue
        return store


def _leave(number: int, frame: object) -> None:
    """Torchrun ends the ranks when one has died; what they were doing is not counted as an attempt."""
    raise SystemExit(128 + number)

"""What a server is told at its start, and what an upload may choose."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class JobSettings(BaseModel):
    """What whoever uploads a video may choose; two jobs of one video with equal settings are done once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: float = Field(1.0, ge=0.2, le=60, description="Seconds between keyframes.")
    threshold: float = Field(0.05, ge=0, le=1, description="Least score of an action in the tables.")
    box_threshold: float = Field(0.5, ge=0, le=1, description="Least score of a person box.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a server takes, and for how long it keeps it."""

    megabytes: float = 2000.0
    """of a video"""
    seconds: float = 3600.0
    """of a video"""
    queue: int = 100
    """jobs that wait"""
    rate: int = 60
    """uploads a minute of one client; 0: as many as it likes"""
    keep_hours: float = 24.0
    """from the end of a job; 0: for ever"""

    @property
    def bytes(self) -> int:
        """The largest video."""
        return int(self.megabytes * 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """All of `relact serve`."""

    weights: str
    folder: Path
    """the queue, the uploads and the results"""
    detector: str = "auto"
    host: str = "127.0.0.1"
    port: int = 8000
    devices: tuple[str, ...] = ("",)
    """a worker each; "" = the best there is"""
    tokens: tuple[str, ...] = ()
    """one a user; none: whoever reaches the server may use it"""
    hosts: tuple[str, ...] = ()
    """other names than the loopback's by which a server without tokens is addressed"""
    proxy: str | None = None
    """address of the reverse proxy whose X-Forwarded-For is believed"""
    precision: str = "auto"
    draw: bool = False
    """also write annotated.mp4"""
    limits: Limits = field(default_factory=Limits)

    def worker_order(self, device: str) -> dict[str, Any]:
        """What a worker process is started with."""
        return {
            "weights": self.weights,
            "detector": self.detector,
            "device": device,
            "precision": self.precision,
            "draw": self.draw,
        }

"""J-HMDB-21: no table of the five papers has it; the schedule is that of UCF101-24."""

from relact.recipes.layers import Layer
from relact.recipes.ucf24 import BASELINE

JHMDB = (
    BASELINE.varied("jhmdb_slowfast_r50", "SlowFast R50 8x4 on J-HMDB-21, split 1",
                    Layer("our choice: J-HMDB-21 as ACT published it, every third frame",
                          {"data": {"source": "jhmdb", "frame_step": 3}})),
)  # fmt: skip

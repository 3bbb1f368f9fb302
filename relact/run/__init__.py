"""What the command line calls, for Python users too."""

from relact.run.detection import detect, detect_files
from relact.run.machine import doctor
from relact.run.many_engines import detect_many
from relact.run.models import create_model, evaluate, load_model
from relact.run.one_video import Result
from relact.run.play import demo
from relact.run.tables import backbone_table, head_table
from relact.run.training import test, train

__all__ = [
    "Result",
    "backbone_table",
    "create_model",
    "demo",
    "detect",
    "detect_files",
    "detect_many",
    "doctor",
    "evaluate",
    "head_table",
    "load_model",
    "test",
    "train",
]

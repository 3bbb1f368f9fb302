"""Stage: a generated world in which what the papers claim of relations can be seen (docs/stage.md).

Short plays with AVA-format labels. Each claim is a pair of actions that differ only in a relation: the same body,
elsewhere another object, another neighbour, another order in time, another past. Labels come from the script, never
from the drawing.
"""

from relact.data.stage.families import FAMILIES, Family
from relact.data.stage.play import Play, write_play
from relact.data.stage.write import StageConfig, generate

__all__ = ["FAMILIES", "Family", "Play", "StageConfig", "generate", "write_play"]

"""The whole detector as one graph of tensors: frames, boxes and memory in, scores out, for any number of people.

The model decides many things on the host: sizes of clips, counts of people. For a graph these must be known when it
is made, or stay symbols in it. One clip of one size makes the sizes known: tensors on the host that no input reaches
are computed at once (`HostValues`). The number of people stays a symbol: Python's own `len` would turn it into the
number of the example, so the modules of the model get one that does not (`as_one_clip`).
"""

import builtins
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves

from relact.errors import InputError
from relact.head import MemorySpec, RelationHead
from relact.heads import acar, amcrnet, igmn, pairwise
from relact.model import ActionDetector
from relact.nn import graph, posnet
from relact.nn.fold import fold_batch_norms
from relact.types import Actors, Memory

PEOPLE, SLOTS = 5, 7
"""of the example that a graph is made from: neither 0 nor 1, which mean something of their own, and not the same"""
ALL = 2**40
"""more people than there can be: what is cut into parts of so many stays whole"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What an exported detector is given: tensors by name, in order."""

    size: tuple[int, int]
    """(height, width) of the frames"""
    num_frames: int
    normalised: bool
    """frames as normalised floats, not as uint8"""
    scores: bool
    """the boxes' own scores, for a head that drops the worst of a crowd"""
    track: bool
    """ids of the people, for a head that follows them through its memory"""
    memory: MemorySpec | None
    people: int | None = None
    """how many there are in every clip; None = any number"""

    @property
    def least_slots(self) -> int:
        """Of a memory, filled or not: a graph of people over time that is thinned out holds for no fewer."""
        return 12 if self.track else 1

    @property
    def names(self) -> list[str]:
        """Of all of them."""
        people = ["frames", "boxes", *(["box_scores"] if self.scores else []), *(["track"] if self.track else [])]
        if self.memory is None:
            return people
        return [*people, "memory", "memory_dt", "memory_mask", *(["memory_track"] if self.track else [])]

    def dynamic(self) -> dict[str, dict[int, Any]]:
        """Which axes of which input have no fixed length."""
        axes: dict[str, dict[int, Any]] = {name: {} for name in self.names}
        for name in self.names:
            if name.startswith("memory"):
                axes[name] = {1: torch.export.Dim.AUTO}
            elif name != "frames" and self.people is None:
                axes[name] = {0: torch.export.Dim.AUTO}
        return axes

    def make(
        self, people: int, slots: int, generator: torch.Generator, clip: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Made-up values: boxes all over the frame and a little beyond, a memory with gaps; `clip` for the frames."""
        height, width = self.size
        made = clip
        if made is None:
            made = torch.randint(0, 256, (1, 3, self.num_frames, height, width), generator=generator).to(torch.uint8)
        if self.normalised:
            made = made.float() / 255 - 0.45
        centre = torch.rand(people, 2, generator=generator)
        half = 0.05 + 0.3 * torch.rand(people, 2, generator=generator)
        boxes = torch.cat([centre - half, centre + half], dim=1) * torch.tensor([width, height] * 2)
        values = {"frames": made, "boxes": boxes}
        if self.scores:
            values["box_scores"] = torch.rand(people, generator=generator)
        if self.track:
            values["track"] = torch.arange(people)
        if self.memory is not None:
            before = self.memory.radius
            after = before if self.memory.future is None else self.memory.future
            shape = (1, slots)
            values["memory"] = torch.randn(1, slots, self.memory.dim, generator=generator)
            values["memory_dt"] = torch.randint(-before, after + 1, shape, generator=generator)
            values["memory_mask"] = torch.rand(shape, generator=generator) < 0.8
        if self.memory is not None and self.track:
            values["memory_track"] = torch.randint(-1, max(1, people), (1, slots), generator=generator)
        return values


class Exportable(nn.Module):
    """One clip of fixed size and its people → scores `[A, K]`, and the rows `[A, E]` that a bank keeps of them."""

    def __init__(self, model: ActionDetector, inputs: Inputs) -> None:
        super().__init__()
        self.model = model
        self.inputs = inputs

    def forward(
        self,
        frames: Tensor,
        boxes: Tensor,
        box_scores: Tensor | None = None,
        track: Tensor | None = None,
        memory: Tensor | None = None,
        memory_dt: Tensor | None = None,
        memory_mask: Tensor | None = None,
        memory_track: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        people = boxes.shape[0]
        ids = boxes.new_full((people,), -1, dtype=torch.long) if track is None else track
        actors = Actors(
            boxes=boxes,
            clip=torch.zeros_like(ids),
            counts=(people,),
            scores=boxes[:, 0] * 0 + 1 if box_scores is None else box_scores,
            track=ids,
        )
        past = None
        if memory is not None and memory_dt is not None and memory_mask is not None:
            past = _memory(memory, memory_dt, memory_mask, memory_track)
        output = self.model(frames, actors, valid=torch.tensor([self.inputs.size]), memory=past)
        rows = output.relations.store
        foreign = past is None or rows is None or self.model.foreign_rows
        return (output.scores,) if foreign or rows is None else (output.scores, rows)


def inputs_of(
    model: ActionDetector, size: tuple[int, int], *, people: int | None = None, normalised: bool = False
) -> Inputs:
    """What the graph of this model is to be given."""
    spec = model.memory
    return Inputs(
        size=size,
        num_frames=model.clip.num_frames,
        normalised=normalised,
        scores=isinstance(model.head, pairwise.Aia),
        track=spec is not None and spec.identity,
        memory=spec,
        people=people,
    )


def as_source(model: ActionDetector, inputs: Inputs, values: Mapping[str, Tensor]) -> list[Tensor]:
    """What the model itself says of these inputs, the way that detection asks it: the truth for an exported file."""
    scores, track = values.get("box_scores"), values.get("track")
    actors = Actors.of(
        [values["boxes"]], scores=None if scores is None else [scores], track=None if track is None else [track]
    )
    past = None
    if inputs.memory is not None:
        past = _memory(values["memory"], values["memory_dt"], values["memory_mask"], values.get("memory_track"))
    with torch.no_grad(), patch.object(model.head, "archive", past is not None and not model.foreign_rows):
        output = model(values["frames"], actors, memory=past)
    rows = output.relations.store
    return [output.scores] if past is None or rows is None or model.foreign_rows else [output.scores, rows]


def _memory(rows: Tensor, dt: Tensor, mask: Tensor, track: Tensor | None) -> Memory:
    return Memory(
        features=rows,
        dt=dt,
        track=torch.full_like(dt, -1) if track is None else track,
        tag=torch.zeros_like(rows[:, :, 0]),
        mask=mask,
    )


def trace(model: ActionDetector, inputs: Inputs) -> torch.export.ExportedProgram:
    """The graph of a detector in eval mode, batch norms folded; any number of people and of rows of memory.

    Raises InputError for a model that is not a function of its inputs, or whose graph would depend on their number.
    """
    refuse(model)
    ready = model.with_backbone(fold_batch_norms(model.backbone)).eval()
    example = inputs.make(inputs.people or PEOPLE, SLOTS + inputs.least_slots, torch.Generator().manual_seed(0))
    with torch.no_grad(), as_one_clip(ready.head, archive=inputs.memory is not None and not model.foreign_rows):
        try:
            program = torch.export.export(
                Exportable(ready, inputs), (), kwargs=example, dynamic_shapes=inputs.dynamic(), strict=False
            )
        except (RuntimeError, ValueError, TypeError) as error:
            raise InputError(f"{_named(model)}: torch.export cannot follow it: {_first_line(error)}") from error
    _check_dynamic(program, inputs, model)
    return program


def refuse(model: ActionDetector) -> None:
    """Raises InputError for a model that draws at random when it judges: no file could be equal to it."""
    position = getattr(model.head, "position", None)
    if isinstance(position, posnet.PosNet) and position.resample_in_test:
        raise InputError(
            f"{_named(model)}: draws new noise for every clip (resample_in_test=True), so that no exported file can "
            "give its scores; set resample_in_test=False, which uses the noise that is kept"
        )


class HostValues(TorchFunctionMode):
    """Computes at once what no input of the graph reaches: sizes of clips, masks, indices."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.split and args[1:2] == (ALL,):  # a graph would count the parts
            return (args[0],)
        if func is Tensor.argsort and kwargs.get("stable") and not args[0].is_floating_point():
            return _argsort(args[0], kwargs.get("dim", -1), kwargs.get("descending", False))
        if func is torch.atan2:
            return _atan2(*args)
        leaves = tree_leaves((args, kwargs))
        symbolic = (FakeTensor, FunctionalTensor, torch.SymInt, torch.SymBool, torch.SymFloat)
        made_here = func in (torch.tensor, torch.arange) or any(isinstance(leaf, Tensor) for leaf in leaves)
        if any(isinstance(leaf, symbolic) for leaf in leaves) or not made_here:
            return func(*args, **kwargs)
        with _disable_current_modes():
            return func(*args, **kwargs)


@contextmanager
def as_one_clip(head: RelationHead, *, archive: bool) -> Iterator[None]:
    """While a graph is made: counts of people stay symbols, and nothing is cut into parts by them.

    Each replaced function gives, for one clip without padding, what it stands for. Process-wide, for these seconds.
    """
    with ExitStack() as stack:
        put = stack.enter_context
        for name, module in list(sys.modules.items()):
            if name.startswith(("relact.types", "relact.ragged", "relact.model", "relact.nn.", "relact.heads.")):
                put(patch.object(module, "len", _length, create=True))
        put(patch.object(head, "archive", archive))
        put(patch.object(acar, "ACTORS_AT_A_TIME", ALL))
        put(patch.object(acar, "MAPS_AT_A_TIME", ALL))
        put(patch.object(amcrnet.Packing, "of", _packing))
        put(patch.object(igmn, "_check_identities", lambda actors, memory: None))  # reads values, to complain of them
        put(patch.object(graph, "min", lambda enough, fewer: enough, create=True))  # a bound on rows that masks hide
        put(patch.object(pairwise, "_best", _best))
        put(HostValues())
        yield


def _length(x: Any) -> Any:
    """`len` that leaves the number of people a symbol."""
    if isinstance(x, Tensor):
        return x.shape[0]
    return x.boxes.shape[0] if isinstance(x, Actors) else builtins.len(x)


def _packing(actors: Actors, others: Tensor, *, keys: Tensor | None = None) -> amcrnet.Packing:
    """Of one clip: its people, then all others."""
    people, length = actors.counts[0], actors.counts[0] + others.shape[1]
    seen = None if keys is None else torch.cat([actors.pad(torch.ones_like(actors.scores))[1], keys], dim=1)
    slots = torch.arange(length)
    return amcrnet.Packing(
        actors=actors, length=length, slots=slots, clip=slots * 0, people=torch.arange(people), keys=seen
    )


def _argsort(x: Tensor, dim: int, descending: bool) -> Tensor:
    """Stable, of integers, by a sort that need not be: ONNX has no other. No two keys are equal."""
    place = torch.arange(x.shape[dim])
    key = x.long().movedim(dim, -1) * x.shape[dim] + (-place if descending else place)
    return key.argsort(dim=-1, descending=descending).movedim(-1, dim)


def _atan2(y: Tensor, x: Tensor) -> Tensor:
    """As it is in torch: the one that is put together for ONNX takes -pi for pi, and has no angle for 0, 0."""
    angle = torch.atan2(y, x).masked_fill((y == 0) & (x < 0), torch.pi)
    return angle.masked_fill((y == 0) & (x == 0), 0.0)


def _best(rows: Tensor, found: Actors, limit: int) -> tuple[Tensor, Tensor]:
    """All rows of one clip, of which those beyond the limit do not count: their number is then no size."""
    if isinstance(found.scores.shape[0], int) and found.scores.shape[0] == 0:  # no things: an empty key for ONNX
        return rows.new_zeros(1, 1, rows.shape[1]), torch.zeros(1, 1, dtype=torch.bool)
    mine, other, place = found.scores[:, None], found.scores[None], torch.arange(found.scores.shape[0])
    before = (other > mine) | ((other == mine) & (place[None] < place[:, None]))
    rank = before.long().sum(dim=1)
    return found.pad(rows)[0], (rank < limit)[None]


def _check_dynamic(program: torch.export.ExportedProgram, inputs: Inputs, model: ActionDetector) -> None:
    """Raises InputError where an axis that should be free was tied to the example's length."""
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    for name, axes in inputs.dynamic().items():
        for axis in axes:
            if isinstance(values[name].shape[axis], int):
                raise InputError(
                    f"{_named(model)}: its graph holds for {values[name].shape[axis]} rows of {name} only, so a file "
                    "could not take any number of people; please report it"
                )


def _named(model: ActionDetector) -> str:
    return type(model.head).__name__.lower()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]

"""SlowOnly: the slow pathway of SlowFast alone (Feichtenhofer et al., ICCV 2019), in its detection form."""

from pydantic.dataclasses import dataclass
from torch import Tensor

from relact.backbones.base import Backbone
from relact.backbones.resnet3d import NONLOCAL_FORMS, Four, NonLocalForm, Pathway, ResNetConfig, initialise
from relact.config import STRICT
from relact.nn.padding import Padding, zero_padding


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SlowOnlyConfig(ResNetConfig):
    """Switches of the published SlowOnly nets; the defaults are R50 4x16 for detection."""

    num_frames: int = 4
    frame_stride: int = 16

    def build(self) -> "SlowOnly":
        return SlowOnly(
            num_frames=self.num_frames,
            width=self.width,
            depths=self.depths,
            s4_temporal_blocks=self.depths[2] if self.s4_temporal_blocks is None else self.s4_temporal_blocks,
            s5_stride=self.s5_stride,
            s5_dilation=self.s5_dilation,
            nonlocal_form=NONLOCAL_FORMS[self.nonlocal_form],
            nonlocal_after=self.nonlocal_after,
        )


class SlowOnly(Backbone):
    """One map: slow [B, 32 width, T, h, w]."""

    def __init__(
        self,
        *,
        num_frames: int,
        width: int,
        depths: Four,
        s4_temporal_blocks: int,
        s5_stride: int,
        s5_dilation: int,
        nonlocal_form: NonLocalForm,
        nonlocal_after: tuple[tuple[int, ...], ...],
    ) -> None:
        super().__init__()
        self.channels = {"slow": 32 * width}
        self.frames = {"slow": num_frames}
        self.stride = 16 * s5_stride
        self.slow = Pathway(
            width,
            stem_kernel=1,
            stage_kernels=(1, 1, 3, 3),
            depths=depths,
            extra=(0, 0, 0, 0),
            s4_temporal_blocks=s4_temporal_blocks,
            s5_stride=s5_stride,
            s5_dilation=s5_dilation,
            nonlocal_form=nonlocal_form,
            nonlocal_after=nonlocal_after,
        )
        initialise(self)

    def forward(self, frames: Tensor, valid: Tensor | None = None) -> dict[str, Tensor]:
        padding = Padding.of(frames, valid)
        frames = zero_padding(frames, padding, 1)
        x = self.slow.s1(frames, padding)
        for stage in (self.slow.s2, self.slow.s3, self.slow.s4, self.slow.s5):
            x = stage(x, padding)
        return {"slow": x}

"""The base class of all networks: what a network needs and gives, as typed attributes."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean RGB of DIV2K's training pictures, which EDSR and its descendants subtract."""


class Network(nn.Module):
    """A network that enlarges pictures (N, C, H, W) in [0, 1], with C = ``input_channels``.

    A subclass sets the attributes in which it differs, on the class or in its constructor.
    """

    scale: int = 1
    """Output pixels per input pixel, along each side."""
    colour: Literal["rgb", "y"] = "rgb"
    """Takes and gives RGB, or Y / 255 of limited-range BT.601 (16/255 to 235/255)."""
    multiple_of: int = 1
    """Both sides of an input must divide by it."""
    minimum: int = 1
    """Shortest side of an input, in pixels."""
    edge: int = 0
    """Mirrored pixels wanted around a picture while it is enlarged, to keep padding away."""
    pools_globally: bool = False
    """Has layers that pool over the whole input: its tiles want a calibration on their picture."""
    pools_maxima: bool = False
    """Some of these pools take maxima, which are calibrated on the windows with sharp edges too."""
    tile_step: int = 1
    """Above 1 it has maps with one value for so many pixels that are stretched over the picture:
    tiles should begin on multiples of it, and the map needs their positions."""
    tiles: bool = True
    """Tiles come out as the whole picture does; where they do not, pictures are not cut unless it
    is asked for."""
    takes_levels: bool = False
    """``forward`` takes ``levels`` too: 255 or 65535 where pixels were read from integers."""
    fp16: bool = True
    """May run in fp16; where it may not, it runs in fp32 whatever is asked for."""
    bf16: bool = True
    """The same of bf16, whose 8 bits are too few for a network in which the picture itself, not
    only a correction of it, goes through half-precision layers."""
    traced_small: bool = True
    """A trace on a small picture holds for larger ones."""
    bound_to_scale: bool = False
    """Its weights for one scale are no start for another."""
    notes: tuple[str, ...] = ()
    """What was decided when its weights were read, for the user."""
    num_maps: int = 0
    """Attention maps that ``attend`` gives."""

    def __init__(self, scale: int | None = None) -> None:
        super().__init__()
        if scale is not None:
            self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, C, H, W) in [0, 1] to (N, C, scale H, scale W), not clipped."""
        self.check_input(x)
        return self._enlarge(x)

    def _enlarge(self, x: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} neither has forward nor _enlarge")

    @property
    def input_channels(self) -> int:
        """Channels of input and output: 3 for RGB, 1 for Y."""
        return 1 if self.colour == "y" else 3

    def check_input(self, x: Tensor) -> None:
        """Raise ValueError for another rank, number of channels or size; not while compiling."""
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            return
        if x.ndim != 4 or x.shape[1] != self.input_channels:
            raise ValueError(f"expected (N, {self.input_channels}, H, W), got {tuple(x.shape)}")
        height, width = x.shape[2:]
        if height % self.multiple_of or width % self.multiple_of:
            raise ValueError(
                f"expected pictures with sides that divide by {self.multiple_of}, "
                f"got {height}x{width}"
            )
        if min(height, width) < self.minimum:
            raise ValueError(
                f"expected pictures of at least {self.minimum} pixels a side, got {height}x{width}"
            )

    def padded(self, length: int) -> int:
        """Return the shortest side that the network takes and that holds ``length`` pixels."""
        return -(-max(length, self.minimum) // self.multiple_of) * self.multiple_of

    def attend(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return SR, and ``num_maps`` attention maps (N, 1, H, W) in [0, 1]."""
        return self(x), []

    def start_from_bicubic(self, deep_gain: float = 0.1) -> None:
        """Make the untrained network a bicubic enlargement, plus a little of its deep path.

        ``deep_gain`` is the factor on the initial weights of the deep path. NotImplementedError
        says that the network has no such start, ModelError that it is too small for it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no bicubic start")

    def deploy(self) -> Self:
        """Return the deployed form: a new network, in evaluation mode, with equal outputs."""
        return copy.deepcopy(self).eval()

    def for_inference(self) -> Self:
        """Return the network to infer with: a new one, in evaluation mode, with layers merged.

        Outputs are equal to rounding, but for those of the input's outermost pixel, as what was
        padded between merged layers is not. ``edge`` and the overlap of tiles keep it away.
        """
        return self.deploy()

    @staticmethod
    def prepare_published(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Prepare a file of the network's authors for what ``published.toml`` says of it."""
        return tensors

    def training_state(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Turn a deployed form's state into one of this network with the same outputs.

        It may be of another scale; what is in training form already stays as it is.
        """
        return dict(tensors)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Switch autocast off within a ``with``; on the meta device, which has none, do nothing."""
    if device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


class SkiplessNetwork(Network):
    """A network that pads by zeros, all of whose layers the picture itself goes through."""

    edge = 4
    bf16 = False


def upload(values: NDArray[Any] | Tensor, device: torch.device) -> Tensor:
    """Copy to a device; to a GPU through pinned memory, in the order of its other work.

    A copy from ordinary memory would first wait until the GPU has done all that it was given. On a
    processor the tensor may share the memory of ``values``.
    """
    host = values if isinstance(values, torch.Tensor) else torch.from_numpy(values)
    if device.type != "cuda":
        return host.to(device)
    with torch.cuda.device(device):  # else pinned memory would take room on the first GPU
        return host.pin_memory().to(device, non_blocking=True)


class ValueRange(nn.Module):
    """Subtract a mean RGB in [0, 1] from pictures in [0, 1] and multiply by ``top``; or undo it."""

    mean: Tensor

    def __init__(self, *, top: float = 255.0, mean: tuple[float, ...] = (0.0, 0.0, 0.0)) -> None:
        super().__init__()
        self.top = top
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)

    def extra_repr(self) -> str:
        """Return the range, which belongs to the settings that a network's digest covers."""
        return f"top={self.top:g}"

    def forward(self, x: Tensor) -> Tensor:
        """Shift and scale (N, C, H, W)."""
        return (x - self.mean) * self.top

    def undo(self, x: Tensor) -> Tensor:
        """Bring (N, C, H, W) back, in fp32 at least: half precision would cost 8-bit steps."""
        return x.to(torch.promote_types(x.dtype, torch.float32)) / self.top + self.mean


def range_of(network: nn.Module) -> float:
    """Return the value that white has inside a network, 1 unless it declares another."""
    tops = [each.top for each in network.modules() if isinstance(each, ValueRange)]
    return tops[0] if tops else 1.0


def set_value_range(network: nn.Module, top: float) -> None:
    """Let a network see pictures in [0, 1] as 0..``top``, and give them back in [0, 1]."""
    if range_of(network) == top:
        return
    declared = [each for each in network.modules() if isinstance(each, ValueRange)]
    for each in declared:
        each.top = top
    if not declared:
        network.add_module("value_range", ValueRange(top=top, mean=(0.0,)))
        network.register_forward_pre_hook(_enter)
        network.register_forward_hook(_leave)


def _enter(network: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:  # noqa: ANN401
    return network.value_range(given[0]), *given[1:]


def _leave(network: Any, given: tuple[Tensor, ...], out: Tensor) -> Tensor:  # noqa: ANN401
    undone: Tensor = network.value_range.undo(out)
    return undone

"""The base class of all networks: what a network needs and gives, as typed attributes.

Beside it stand two networks as one, and the settings of PyTorch under which networks run.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, Self

import torch
from torch import Tensor, nn

from srcli.threads import hold_setting

_TRIED_SIDE = 4
"""Edge of the picture by which a network is tried, in pixels, or the least it takes."""
DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean RGB of DIV2K's training pictures."""


class Network(nn.Module):
    """A network that enlarges pictures (N, C, H, W) in [0, 1], with C = ``input_channels``.

    A subclass writes ``_enlarge``, and sets the attributes in which it differs, on the
    class or in its constructor. Discriminators are networks too: their ``_enlarge``
    gives logits, and is documented where it is.
    """

    scale: int = 1
    """Output pixels per input pixel, along each side."""
    colour: Literal["rgb", "y", "gray"] = "rgb"
    """Takes and gives RGB, or Y / 255 of limited-range BT.601 (16/255 to 235/255), or
    gray in [0, 1], as other software feeds networks of one channel."""
    multiple_of: int = 1
    """Both sides of an input must divide by it."""
    minimum: int = 1
    """Shortest side of an input, in pixels."""
    edge: int = 0
    """Pixels by which a picture is mirrored at each border before it is enlarged, so
    that the padding of convolutions stays outside the result."""
    pools_globally: bool = False
    """Has layers that pool over the whole input, such as channel attention: tiles are
    enlarged with statistics of their picture (``srcli.layers.global_pools``)."""
    tile_step: int = 1
    """Input pixels for each value of a coarse map that is stretched over the picture,
    as in ESA; 1 without such maps. Tiles should begin on multiples of it, and the map
    needs their positions."""
    tiles: bool = True
    """Tiles come out as the whole picture does; where they do not, pictures are not cut
    unless it is asked for."""
    tiling: tuple[int, int] = (192, 16)
    """Edge and overlap of tiles, in input pixels, of a network that is not in the table
    of models."""
    white_level: int | None = None
    """255 or 65535 while the pixels in [0, 1] come from integers of 8 or 16 bits, else
    None; the engine sets it for networks that round as integer programs do. What a
    network computes with is ``white``."""
    fp16: bool = True
    """May run in fp16; where it may not, it runs in fp32 whatever is asked for."""
    bf16: bool = True
    """The same of bf16, whose 8 bits are too few for a network in which the picture
    itself, not only a correction of it, goes through half-precision layers."""
    notes: tuple[str, ...] = ()
    """What was decided when its weights were read, for the user."""
    origin: str = ""
    """Whose code it is, where it is not of ``srcli.models``: that of a user or of an
    installed package by its name, or spandrel."""
    needs_weights: bool = True
    """Makes no picture before it is trained; set False where it has all that it
    needs."""
    told_options: tuple[str, ...] = ()
    """Options of the constructor by which the same tensors mean something else: weights of
    another value are no start of a training."""
    num_maps: int = 0
    """Attention maps that ``attend`` gives."""
    white: float = 1.0
    """Value of white within ``_enlarge``, 1 or 255, as in its training: pictures in
    [0, 1] less ``mean`` are multiplied by it, and the result is divided."""
    mean: Tensor | None
    """Colour that is subtracted before ``_enlarge`` and added afterwards, (1, C, 1, 1)
    in [0, 1]; None for black."""

    def __init__(self, scale: int | None = None) -> None:
        super().__init__()
        self.register_buffer("mean", None, persistent=False)
        if scale is not None:
            self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, C, H, W) in [0, 1] to (N, C, scale H, scale W), not clipped."""
        self.check_input(x)
        if self.mean is None and self.white == 1:
            return self._enlarge(x)
        mean = 0.0 if self.mean is None else self.mean
        out = self._enlarge((x - mean) * self.white)
        # Half precision would cost 8-bit steps.
        return widened(out) / self.white + mean

    def subtract_mean(self, white: float) -> None:
        """Let ``_enlarge`` get pictures less DIV2K's mean colour, as in EDSR's descendants.

        ``white`` is the attribute of that name.
        """
        self.white = white
        self.mean = torch.tensor(DIV2K_MEAN).view(1, 3, 1, 1)

    def _enlarge(self, x: Tensor) -> Tensor:
        raise NotImplementedError(
            f"{type(self).__name__} has neither forward nor _enlarge"
        )

    @property
    def input_channels(self) -> int:
        """Channels of input and output: 3 for RGB, 1 for Y and gray."""
        return 3 if self.colour == "rgb" else 1

    def check_input(self, x: Tensor) -> None:
        """Raise ValueError for a wrong rank, channel count or size, unless compiling."""
        if is_traced():
            return
        if x.ndim != 4 or x.shape[1] != self.input_channels:
            raise ValueError(
                f"expected (N, {self.input_channels}, H, W), got {tuple(x.shape)}"
            )
        height, width = x.shape[2:]
        if (self.padded(height), self.padded(width)) != (height, width):
            divisible = ""
            if self.multiple_of > 1:
                divisible = f" that divide by {self.multiple_of}"
            raise ValueError(
                f"expected sides of at least {self.minimum} pixels{divisible}, got "
                f"{height}x{width}"
            )

    def try_out(self) -> None:
        """Enlarge a small black picture, unless the tensors are outlines.

        RuntimeError of PyTorch, or ValueError, where the layers do not fit each other.
        """
        if any(tensor.is_meta for tensor in self.parameters()):
            return
        side = self.padded(_TRIED_SIDE)
        is_trained = self.training
        self.eval()
        with torch.no_grad():
            out = self(torch.zeros(1, self.input_channels, side, side))
        self.train(is_trained)
        height, width = out.shape[2:]
        if (height, width) != (self.scale * side, self.scale * side):
            raise ValueError(
                f"{side}x{side} pixels become {width}x{height} at x{self.scale}"
            )

    def padded(self, length: int) -> int:
        """Return the shortest side that the network takes for ``length`` pixels."""
        return -(-max(length, self.minimum) // self.multiple_of) * self.multiple_of

    def attend(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return SR, and ``num_maps`` attention maps (N, 1, H, W) in [0, 1]."""
        return self(x), []

    def start_from_bicubic(self, deep_gain: float = 0.1) -> None:
        """Begin as a bicubic enlargement, plus a little of the network's deep path.

        ``deep_gain`` is the factor on the initial weights of the deep path.
        NotImplementedError says that the network has no such start, ModelError that it
        is too small for it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no bicubic start")

    def deploy(self) -> Self:
        """Return the deployed form, a new network for evaluation with equal outputs.

        Branches that only help training are folded away.
        """
        return copy.deepcopy(self).eval()

    def for_inference(self) -> Self:
        """Return the deployed form with further layers merged, for enlarging alone.

        Outputs are equal to rounding, but for those of the input's outermost pixel, as
        what was padded between merged layers is not. ``edge`` and the overlap of tiles
        keep it away. Its tensors are not those of weights files.
        """
        return self.deploy()

    def unfold_state(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Turn the tensors of a deployed form into those of this one, with equal outputs.

        They may be of another scale; what is in training form already stays as it is.
        """
        return dict(tensors)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Switch autocast off within a ``with``; the meta device has none."""
    if device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def without_tf32() -> AbstractContextManager[None]:
    """Let GPUs compute fp32 convolutions in fp32: TF32, PyTorch's default, keeps 10 bits.

    That is too few for pictures, whose 8-bit steps need more. Half precision stays as
    fast: only the image path of its networks is in fp32.
    """
    return hold_setting(torch.backends.cudnn.conv, "fp32_precision", "ieee")  # type: ignore[attr-defined]


def lay_out(module: nn.Module, layout: torch.memory_format) -> None:
    """Bring the tensors of rank 4 of a module into a memory layout.

    ``Module.to`` tries those of rank 5, too, which ``channels_last`` is not for.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.to(memory_format=layout)


def widened(x: Tensor) -> Tensor:
    """Convert half precision to fp32; fp32 and float64 stay as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def is_autocast(x: Tensor) -> bool:
    """Return True where autocast computes convolutions of a value in half precision."""
    return not x.is_meta and torch.is_autocast_enabled(x.device.type)


def in_autocast_type(x: Tensor) -> Tensor:
    """Return a value in the type in which autocast convolves it; else as it is."""
    return x.to(torch.get_autocast_dtype(x.device.type)) if is_autocast(x) else x


def run_without_bf16(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Run a layer in fp32 where autocast takes bf16, whose 8 bits would show in pictures."""
    kind = x.device.type
    if is_autocast(x) and torch.get_autocast_dtype(kind) == torch.bfloat16:
        with full_precision(x.device):
            return layer(widened(x))
    return layer(x)


def is_traced() -> bool:
    """Return True while PyTorch records a network for a compiler or a file."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


def is_exported() -> bool:
    """Return True while PyTorch records a network for a file, by either of its exporters."""
    return torch.compiler.is_exporting() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


def is_processor_inference(x: Tensor) -> bool:
    """Return True on a processor where neither gradients nor traces are recorded."""
    return x.is_cpu and not torch.is_grad_enabled() and not is_traced()


class SkiplessNetwork(Network):
    """A network of zero-padded layers in which no skip carries the picture past them all.

    The picture itself goes through every layer, which bf16 would shift. Skips of
    features within it are another matter, see ``FeatureSkipNetwork``.
    """

    edge = 4
    bf16 = False


class _Defaults:
    """PyTorch's default dtype as an attribute, which ``hold_setting`` sets and restores."""

    dtype = property(
        lambda _: torch.get_default_dtype(), lambda _, to: torch.set_default_dtype(to)
    )


_DEFAULTS = _Defaults()


@contextmanager
def undisturbed(device: str = "cpu") -> Iterator[None]:
    """Run a block under PyTorch's default settings."""
    cpu: AbstractContextManager[object] = nullcontext()
    if torch.get_default_device().type != "cpu":  # a context slows every call
        cpu = torch.device("cpu")
    with (
        hold_setting(_DEFAULTS, "dtype", torch.float32),
        cpu,
        torch.inference_mode(mode=False),
        full_precision(torch.device(device)),
    ):
        yield


class Mixture(Network):
    """Outputs of a first network, moved by ``share``, 0 to 1, towards those of a second.

    Both are on RGB. Weights of equal shapes are interpolated themselves
    (``srcli.models.loading``); this is for networks that differ.
    """

    share: Tensor
    members: Iterable[Network]

    def __init__(self, networks: Iterable[Network], share: float | Tensor) -> None:
        super().__init__()
        members = list(networks)
        self.members = nn.ModuleList(members)  # type: ignore[assignment]
        # a buffer, so that the digest of the weights tells shares apart
        self.register_buffer("share", torch.as_tensor(share))
        self.scale = members[0].scale
        self.multiple_of = math.lcm(*(member.multiple_of for member in members))
        self.minimum = max(member.minimum for member in members)
        self.edge = max(member.edge for member in members)
        self.tile_step = max(member.tile_step for member in members)
        self.pools_globally = any(member.pools_globally for member in members)
        self.tiles = all(member.tiles for member in members)
        self.fp16 = all(member.fp16 for member in members)
        self.bf16 = all(member.bf16 for member in members)

    def _enlarge(self, x: Tensor) -> Tensor:
        start, end = (widened(member(x)) for member in self.members)
        return start.lerp(end, self.share)

"""The table of networks: names on the command line, where their classes live, their scales."""

from __future__ import annotations

import inspect
import itertools
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from srcli.errors import ModelError, RecipeError, did_you_mean
from srcli.recipes.fields import construct

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from srcli.layers.network import Network

CALIBRATED_WHOLE = 96 * 1024
"""Input pixels of pictures that are not cut by networks which calibrate: calibration and overlap
would be half as much work again. Twice as many pixels would take half a gigabyte more."""


@dataclass(frozen=True, kw_only=True)
class NetworkEntry:
    """One network of the table."""

    target: str
    """``module:Class``; imported on use."""
    summary: str
    source: str
    """Place and year of its publication."""
    paper: str = ""
    """Key of ``srcli.recipes.published.PAPERS``; empty for none."""
    scales: tuple[int, ...] = (2, 3, 4)
    tile: int = 192
    """Default tile edge in input pixels; one number, so that results are the same everywhere."""
    overlap: int = 16
    whole: int = 0
    """Input pixels up to which a picture is one tile."""
    trained: bool = True
    """It needs weights."""
    compared: bool = False
    """A network that the papers compare with; no weights of it are shipped."""


def _compared(
    target: str, source: str, summary: str, scales: tuple[int, ...] = (2, 3, 4)
) -> NetworkEntry:
    """Return the entry of a network that the papers compare with, below ``models.baselines``."""
    return NetworkEntry(
        target=f"srcli.models.baselines.{target}",
        source=source,
        summary=summary,
        scales=scales,
        compared=True,
    )


_G_IDRN = NetworkEntry(
    target="srcli.models.g_idrn:GIDRN",
    summary="grouped information distillation residual network, 0.58 M parameters (flagship)",
    source="Acta Automatica Sinica, 2024",
    paper="g-idrn",
    whole=CALIBRATED_WHOLE,
    overlap=8,
)

_ATTENTIVE_GAN = NetworkEntry(
    target="srcli.models.attentive_gan:AttentiveGenerator",
    summary="attention-recurrent generator trained against a discriminator, 1.05 M parameters",
    source="Ding et al.",
    paper="attentive-gan",
    scales=(4,),
    overlap=24,
)

MODELS: dict[str, NetworkEntry] = {
    "g-idrn": _G_IDRN,
    "g-idrn-aerial": replace(
        _G_IDRN, scales=(2, 4), summary="g-idrn, fine-tuned on drone and satellite pictures"
    ),
    "g-idrn-photo": replace(
        _G_IDRN,
        scales=(2, 4),
        summary="g-idrn, trained on photographs as cameras save them: JPEG, noise, soft lenses",
    ),
    "g-idrn-photo-gan": replace(
        _G_IDRN,
        scales=(2, 4),
        summary="g-idrn-photo, trained on against a discriminator: sharper, lower PSNR",
    ),
    "rrlfn": NetworkEntry(
        target="srcli.models.rrlfn:RRLFN",
        summary="re-parameterised residual local feature network, 0.47 M parameters deployed",
        source="Guo et al. 2025",
        paper="rrlfn",
    ),
    "ddsr": NetworkEntry(
        target="srcli.models.ddsr:DDSR",
        summary="deconvolution, then 18 layers at full size, on Y, 0.63 M parameters",
        source="authors not known",
        paper="ddsr",
    ),
    "attentive-gan": _ATTENTIVE_GAN,
    "attentive-gan-l1": replace(
        _ATTENTIVE_GAN,
        summary="attentive-gan's generator trained by L1 alone: higher PSNR, nothing invented",
    ),
    "nested-attn": NetworkEntry(
        target="srcli.models.nested_attn:NestedAttention",
        summary="nested attention residual network, 1.78 M parameters",
        source="Chang et al.",
        paper="nested-attn",
        whole=CALIBRATED_WHOLE,
        overlap=8,
    ),
    "rfdn": _compared("light:RFDN", "ECCV workshops 2020", "residual feature distillation network"),
    "imdn": _compared("light:IMDN", "ACM MM 2019", "information multi-distillation network"),
    "rlfn": _compared("light:RLFN", "CVPR workshops 2022", "residual local feature network"),
    "fsrcnn": _compared("luma:FSRCNN", "ECCV 2016", "hourglass and deconvolution, on Y"),
    "srcnn": _compared("luma:SRCNN", "TPAMI 2016", "three convolutions after bicubic, on Y"),
    "vdsr": _compared("luma:VDSR", "CVPR 2016", "20 convolutions after bicubic, on Y"),
    "edsr": _compared("residual:EDSR", "CVPR workshops 2017", "wide residual blocks"),
    "srresnet": _compared("residual:SRResNet", "CVPR 2017", "SRGAN's generator"),
    "carn": _compared("residual:CARN", "ECCV 2018", "cascading residual network"),
    "pan": _compared("light:PAN", "ECCV workshops 2020", "pixel attention network"),
    "rcan": _compared("residual:RCAN", "ECCV 2018", "residual channel attention network"),
    "idn": _compared("luma:IDN", "CVPR 2018", "information distillation network, on Y"),
    "drcn": _compared("luma:DRCN", "CVPR 2016", "one convolution 16 times, on Y"),
    "drrn": _compared("luma:DRRN", "CVPR 2017", "one residual unit 25 times, on Y"),
    "memnet": _compared("luma:MemNet", "ICCV 2017", "memory blocks behind gates, on Y"),
    "lapsrn": _compared("luma:LapSRN", "CVPR 2017", "Laplacian pyramid, on Y", (2, 4)),
    "cfsrcnn": _compared("residual:CFSRCNN", "TMM 2020", "coarse-to-fine network"),
    "latticenet": _compared("light:LatticeNet", "ECCV 2020", "lattice blocks"),
    "maffsrn": _compared("light:MAFFSRN", "ECCV workshops 2020", "multi-attentive fusion"),
    "rdn": _compared("residual:RDN", "CVPR 2018", "residual dense network"),
    "ecbsr": _compared("luma:ECBSR", "ACM MM 2021", "edge-oriented convolutions, on Y"),
    "rrdbnet": _compared(
        "esrgan:RRDBNet", "ECCV workshops 2018", "ESRGAN's and Real-ESRGAN's network", (1, 2, 4)
    ),
    "srvgg": _compared(
        "esrgan:SRVGGNetCompact", "ICCV workshops 2021", "Real-ESRGAN's compact one", (1, 2, 3, 4)
    ),
    "bicubic": NetworkEntry(
        target="srcli.models.bicubic:Bicubic",
        summary="MATLAB-compatible bicubic interpolation, the baseline",
        source="Keys 1981, as in MATLAB",
        overlap=8,
        trained=False,
    ),
}


def find_entry(name: str, scale: int | None = None) -> NetworkEntry:
    """Return the table's entry for ``name``; ModelError if there is none, or not at the scale."""
    if name not in MODELS:
        hint, have = did_you_mean(name, MODELS), ", ".join(MODELS)
        raise ModelError(f"no model {name!r}{hint}; there are: {have}, or a weights file")
    entry = MODELS[name]
    if scale is not None and scale not in entry.scales:
        have = ", ".join(map(str, entry.scales))
        raise ModelError(f"model {name} has no scale {scale}; it has: {have}")
    return entry


def entry_of(network: Network) -> tuple[str, NetworkEntry] | None:
    """Return name and entry of a network by its class, or None for one that is not in the table."""
    kind = type(network)
    target = f"{kind.__module__}:{kind.__qualname__}"
    return next((pair for pair in MODELS.items() if pair[1].target == target), None)


def build_network(name: str, *, scale: int, options: Mapping[str, Any] | None = None) -> Network:
    """Build an untrained network.

    Args:
        name: A key of ``MODELS``.
        scale: One of the entry's scales.
        options: Keyword arguments of its constructor that differ from the defaults.

    Raises:
        ModelError: If the name, the scale or an option does not fit.
    """
    where, kind = f"model {name}", network_class(name, scale)
    if "scale" in (options or {}):
        raise ModelError(f"{where}: the scale is no option of the network; give it by --scale")
    try:
        network: Network = construct(kind, options or {}, where, scale=scale)
    except RecipeError as error:
        raise ModelError(str(error)) from error
    return network


def outline_network(
    name: str, *, scale: int, options: Mapping[str, Any] | None = None, most: int | None = None
) -> Network:
    """Build a network as ``build_network`` does, but without memory for its tensors.

    With more than ``most`` parameters it is given up by a ModelError.
    """
    import torch
    from torch.nn.modules.module import register_module_parameter_registration_hook
    from torch.overrides import TorchFunctionMode

    class NoNumbers(TorchFunctionMode):
        """Draws no normal numbers: on the meta device PyTorch imports its compiler for them."""

        def __torch_function__(
            self,
            func: Callable[..., object],
            types: object,
            args: tuple[Any, ...] = (),
            kwargs: Mapping[str, Any] | None = None,
        ) -> object:
            return args[0] if func is torch.Tensor.normal_ else func(*args, **(kwargs or {}))

    built = itertools.count(1)

    def give_up(module: torch.nn.Module, key: str, parameter: torch.Tensor) -> None:
        if most is not None and next(built) > most:
            raise ModelError(f"model {name}: its options ask for far more tensors than {most:,}")

    hook = register_module_parameter_registration_hook(give_up)
    try:
        with torch.device("meta"), NoNumbers():
            return build_network(name, scale=scale, options=options)
    finally:
        hook.remove()


def network_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a network: those that are given, and the defaults of the others."""
    parameters = inspect.signature(network_class(name)).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    defaults.pop("scale", None)  # no option of ``build_network``
    return {**defaults, **options}


def network_class(name: str, scale: int | None = None) -> Any:  # noqa: ANN401 - options of its own
    """Return the class of a network; raises as ``find_entry`` does."""
    module, _, attribute = find_entry(name, scale).target.partition(":")
    return getattr(import_module(module), attribute)

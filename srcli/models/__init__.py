"""The table of networks: names on the command line, where their classes live, their scales."""

from __future__ import annotations

import inspect
import itertools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcli.errors import ModelError, RecipeError, did_you_mean
from srcli.files import shipped_text
from srcli.recipes.fields import construct, convert
from srcli.recipes.plugins import (
    build_module,
    codes_in,
    installed_plugins,
    load_code,
    short_code,
    split_code,
)
from srcli.threads import warnings_collected

if TYPE_CHECKING:
    from srcli.layers.network import Network


@dataclass(frozen=True, kw_only=True)
class NetworkEntry:
    """One network of the table; ``models.toml`` says what its fields are."""

    target: str = ""
    """Module below ``srcli.models`` and class; empty for a network of an installed
    package, or of the user's own code."""
    summary: str
    source: str
    paper: str = ""
    scales: tuple[int, ...] = (2, 3, 4)
    tile: int = 192
    overlap: int = 16
    whole: int = 0
    holds_colours: bool = False
    overshoot: float = 0.0
    needs_weights: bool = True
    file: str = ""

    @property
    def is_baseline(self) -> bool:
        """True for a network that papers compare with, without shipped weights."""
        return self.target.startswith("baselines.")


def _read_table() -> dict[str, NetworkEntry]:
    """Read the networks of ``models.toml``, and add those of installed packages."""
    table = {}
    shipped = tomllib.loads(shipped_text("models.toml", "srcli.models"))
    for name, fields in shipped.items():
        table[name] = convert(fields, NetworkEntry, name)
    for name, point in installed_plugins("networks").items():
        entry = NetworkEntry(
            summary="network of an installed package", source=point.value
        )
        table.setdefault(name, entry)
    return table


CHECKPOINT_SUFFIXES = (".pth", ".pt", ".ckpt", ".pkl", ".bin", ".tar")
"""Of files of weights that PyTorch has pickled."""
NCNN_SUFFIX = ".param"
WEIGHTS_SUFFIXES = (".safetensors", ".onnx", NCNN_SUFFIX, *CHECKPOINT_SUFFIXES)
"""Of all files of weights."""
MODELS = _read_table()
NETWORK_SETTING = "--set network.{}=VALUE"
"""Option of commands that gives an argument to the constructor of a user's network."""


def find_entry(name: str, scale: int | None = None) -> NetworkEntry:
    """Return the table's entry for a name; ModelError if none, or not at the scale."""
    if split_code(name)[0]:
        return NetworkEntry(summary="your own network", source=name)
    if name and name not in MODELS and Path(name).is_dir():  # Path("") is "."
        raise ModelError(f"{name}: {_describe_folder(Path(name))}")
    if name not in MODELS:
        hint = did_you_mean(name, MODELS)
        raise ModelError(
            f"no model {name!r}{hint}; give one that 'srx models' lists, a weights file, or "
            "FILE.py:CLASS; upscale and compare take auto, fast and best too"
        )
    entry = MODELS[name]
    # All that enlarge by 4 can be trained to enlarge by 8.
    if scale not in (None, *entry.scales, 8):
        scales = ", ".join(map(str, entry.scales))
        raise ModelError(f"model {name} has no scale {scale!r}; it has: {scales}")
    return entry


def _describe_folder(folder: Path) -> str:
    """Return what to give instead of a folder as a model."""
    if (folder / ".metadata").exists():
        return (
            "is a checkpoint in parts; put them together: python -m torch.distributed."
            f"checkpoint.format_utils dcp_to_torch {folder} weights.pth"
        )
    return "is a folder; give a weights file in it"


def name_of(network: Network) -> str:
    """Return the first name in the table for a network's class; else ``origin`` or class."""
    if network.origin:
        return network.origin
    kind = type(network)
    target = f"{kind.__module__}:{kind.__qualname__}".removeprefix("srcli.models.")
    for name, entry in MODELS.items():
        if entry.target == target:
            return name
    return kind.__name__


def entry_of(model: str, network: Network) -> NetworkEntry | None:
    """Return the table's entry of a model by its name, or of a file by the network in it."""
    return MODELS.get(model) or MODELS.get(name_of(network))


def build_network(
    name: str, *, scale: int | None, options: Mapping[str, Any] | None = None
) -> Network:
    """Build an untrained network of ``MODELS``, or of code that the user has named.

    The scale is one of the network's; None is for code that has but one. Options are
    keyword arguments of its constructor that differ from the defaults. ModelError if
    the name, the scale or an option does not fit.
    """
    where = f"model {name}"
    kind = network_class(name, scale)
    options = dict(options or {})
    if "scale" in options:
        raise ModelError(
            f"{where}: the scale is no option of the network; give it by --scale"
        )
    try:
        if not find_entry(name).target:
            from srcli.layers.user_network import UserNetwork

            module = build_module(
                kind, options, short_code(name), NETWORK_SETTING, scale=scale or 4
            )
            return UserNetwork(module, short_code(name), scale)
        with warnings_collected():  # of layers without channels
            network: Network = construct(kind, options, where, scale=scale)
        if blocks := codes_in(options):
            from srcli.layers.user_network import UserNetwork

            origin = f"{name} with {', '.join(map(short_code, blocks))}"
            classes = [load_code(block, "blocks") for block in blocks]
            network = UserNetwork(network, origin, scale, classes)
    except RecipeError as error:
        raise ModelError(str(error)) from error
    if options:
        try:
            network.try_out()
        except (RuntimeError, ValueError) as error:
            settings = ", ".join(f"{key}={value}" for key, value in options.items())
            raise ModelError(f"{where}: {settings} make no network: {error}") from error
    return network


def outline_network(
    name: str, *, scale: int, options: Mapping[str, Any], most_tensors: int | None
) -> Network:
    """Build a network as ``build_network`` does, but without memory for its tensors.

    A user's own network gets its memory where it cannot be built without. With more
    than ``most_tensors`` parameter tensors it is given up by a ModelError.
    """
    import torch
    from torch.nn.modules.module import register_module_parameter_registration_hook
    from torch.overrides import TorchFunctionMode

    class NoNumbers(TorchFunctionMode):
        """Draws no first values, which have no place here and take half the time.

        For normal numbers the meta device even imports a compiler.
        """

        def __torch_function__(
            self,
            call: Any,  # noqa: ANN401
            _: Any,  # noqa: ANN401
            args: Any = (),  # noqa: ANN401
            kwargs: Any = None,  # noqa: ANN401
        ) -> Any:  # noqa: ANN401
            named = kwargs or {}
            if call is torch.Tensor.normal_:
                return args[0]
            if getattr(call, "__module__", "") == "torch.nn.init" and "tensor" in named:
                return named["tensor"]
            return call(*args, **named)

    parameter_count = itertools.count(1)

    def give_up(module: torch.nn.Module, key: str, parameter: torch.Tensor) -> None:
        if most_tensors is not None and next(parameter_count) > most_tensors:
            raise ModelError(
                f"model {name}: its options ask for far more tensors than {most_tensors:,}"
            )

    hook = register_module_parameter_registration_hook(give_up)
    try:
        with torch.device("meta"), NoNumbers():
            return build_network(name, scale=scale, options=options)
    except ModelError:
        if not has_own_code(name, options):
            raise
        if most_tensors is not None and next(parameter_count) > most_tensors:
            raise
    finally:
        hook.remove()
    # A user's code may need numbers.
    return build_network(name, scale=scale, options=options)


def has_own_code(name: str, options: Mapping[str, Any]) -> bool:
    """Return True for a network of users' code or of a package, or one with a block of it."""
    return not find_entry(name).target or bool(codes_in(options))


def network_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a network: defaults, and those that differ from them."""
    every_option = {}
    for parameter in inspect.signature(network_class(name)).parameters.values():
        # The scale is no option of ``build_network``.
        if parameter.name != "scale" and parameter.default is not parameter.empty:
            every_option[parameter.name] = parameter.default
    every_option.update(options)
    return every_option


def network_class(name: str, scale: int | None = None) -> Any:  # noqa: ANN401 - options of its own
    """Return the class of a network; raises as ``find_entry`` does."""
    if not (target := find_entry(name, scale).target):
        return load_code(name, "networks")
    return load_target(target)


def load_target(target: str) -> Any:  # noqa: ANN401 - whatever tables name
    """Return what a table names as ``module:name``, the module below ``srcli.models``."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(f"srcli.models.{module}"), attribute)

"""Options for devices: one or several, number formats, and other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from srcli.cli.options import ParsedType, combine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from srcli.cli.options import Option
    from srcli.ports.executor import Executor


def parse_executor(text: str) -> str:
    """Check the name of an executor."""
    if text in ("local", "ray") or text.startswith("ray://"):
        return text
    raise ValueError(f"{text!r} is not local, ray or ray://HOST:PORT")


def precision(text: str) -> Option:
    """Return the option ``--precision`` with its help text."""
    return click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
        default="auto",
        help=text,
    )


ENGINES = ("auto", "torch", "openvino")
"""Values of ``--engine``."""


def engine(text: str) -> Option:
    """Return the option ``--engine`` with its help text."""
    return click.option("--engine", type=click.Choice(ENGINES), default="auto", help=text)


device = click.option(
    "--device", default="auto", metavar="auto|cpu|cuda|cuda:N|mps", help="Device to compute on."
)
devices = combine(
    click.option(
        "--device",
        "--devices",
        "device",
        default="auto",
        metavar="auto|cpu|cuda|cuda:N|mps|all",
        help="Where to compute; cuda:0,cuda:1 or all use several GPUs.",
    ),
    click.option(
        "--executor",
        type=ParsedType("local|ray|ray://HOST:PORT", parse_executor),
        default="local",
        help="ray: on a Ray cluster (pip install 'ray[client]').",
    ),
)
network_engine = engine("What runs the network; auto: OpenVINO on CPUs where it is installed.")
network_precision = precision("Number format; auto: half precision where that is fast.")


def several_workers(
    given: Mapping[str, Any],
    **settings: Any,  # noqa: ANN401 - handed on
) -> tuple[Executor | None, str]:
    """Return the executor that ``devices`` asks for, and the device of this process.

    There is none where one device of this machine does all. Settings are for ``make_executor``.
    """
    names, kind = given["device"], given["executor"]
    if kind == "local" and names != "all" and "," not in names and not settings:
        return None, names
    from srcli.pipelines.executors import make_executor
    from srcli.pipelines.executors.processes import ProcessExecutor, SerialExecutor

    executor = make_executor(names, kind=kind, **settings)
    if isinstance(executor, SerialExecutor):
        return None, executor.place.device
    return executor, executor.places[0].device if isinstance(executor, ProcessExecutor) else "auto"

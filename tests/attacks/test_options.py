"""Wrong values of every option of every command: exit code 2 and one line that says what fits."""

from __future__ import annotations

import click
import pytest

from srcli.cli.main import group

pytestmark = pytest.mark.attack

BASE = {
    "upscale": ["{picture}", "{out}"],
    "train": ["g-idrn-short", "-q", "-s", "2", "--data", "{folder}", "--out", "{out}"],
    "eval": ["-m", "bicubic", "--data", "{folder}"],
    "bench": ["-m", "bicubic"],
    "export": ["{out}.onnx"],
    "compare": ["{picture}", "{out}.png"],
    "models": [],
    "ablate run": ["ddsr/depth", "--data", "{folder}"],
    "ablate show": ["ddsr/depth"],
}
"""Arguments with which a command runs; none are needed where an option alone is
refused."""
MEANT = {
    "--model": "no-such-model",
    "--device": "abacus",
    "--executor": "abacus",
    "--format": "docx",
    "--metrics": "taste",
    "--data": "no-such-folder",
    "--lr": "no-such-folder",
    "--sr": "no-such-folder",
    "--sets": "no-such-set",
    "--validate": "no-such-set",
    "--init": "no-such.safetensors",
    "--kernel": "wrong",
    "--protocol": "wrong",
    "--chain": "wrong",
    "--crop": "wrong",
    "--cutline": "no-such.geojson",
    "--degradation": "wrong",
    "--set": "wrong",
    "--budget": "soon",
    "--checkpoint-every": "soon",
    "--hold-out": "{picture}",
    "--resume": "no-such-folder",
    "--out": "{picture}",
    "--save-images": "{picture}",
    "--tensorboard": "{picture}",
    "--json": "no-such-folder/a",
    "--markdown": "no-such-folder/a",
    "--html": "no-such-folder/a",
    "--figure": "no-such-folder/a",
    "--report": "no-such-folder/a",
}
"""Texts that options without a type of click's refuse."""
FREE = {"--suffix", "--output", "--exclude"}
"""Options that take any text."""


def commands():
    """Yield every command and command of a group by its words."""
    context = click.Context(group)
    # commands are imported when they are asked for
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                subcommand = command.get_command(context, inner)
                assert subcommand is not None
                yield f"{name} {inner}", subcommand
        else:
            yield name, command


def wrong_values(option: click.Option) -> list[list[str]]:
    """Return values that an option must refuse, each as one word for each of its arguments."""
    value_type = option.type
    several = max(option.nargs, 1)
    if option.is_flag or option.count:
        return []
    if isinstance(value_type, click.IntRange | click.FloatRange):
        values = ["x", "", "1e999x"]
        if value_type.min is not None:
            values.append(str(value_type.min - 1))
        if value_type.max is not None:
            values.append(str(value_type.max + 1))
    elif isinstance(value_type, click.Choice) or value_type in (click.INT, click.FLOAT):
        values = ["nonsense", ""]
    else:
        values = [MEANT[name] for name in option.opts if name in MEANT]
    # read by functions of our own
    if isinstance(value_type, click.types.FuncParamType):
        values = values or ["nonsense", "", "\x1b[2J"]
    return [[value] * several for value in values]


CASES = [
    (words, option, value)
    for words, command in commands()
    for option in command.params
    if isinstance(option, click.Option)
    for value in wrong_values(option)
]


@pytest.fixture(scope="module")
def places(tmp_path_factory, astronaut):
    from PIL import Image

    folder = tmp_path_factory.mktemp("places")
    (folder / "in").mkdir()
    Image.fromarray(astronaut).save(folder / "in" / "a.png")
    return {"picture": folder / "in" / "a.png", "folder": folder / "in"}


@pytest.mark.parametrize(
    ("words", "option", "value"),
    CASES,
    ids=[f"{words} {option.opts[-1]} {value[0]!r}" for words, option, value in CASES],
)
def test_wrong_values_are_refused_in_one_line(
    srx, tmp_path, places, words, option, value
):
    base = [word.format(**places, out=tmp_path / "out") for word in BASE.get(words, [])]
    value = [word.format(**places) for word in value]
    given = [option.opts[-1], *value]
    if option.nargs == 1 and option.opts[-1].startswith("--"):
        given = [f"{option.opts[-1]}={value[0]}"]
    result = srx(*words.split(), *base, *given, code=2)
    *usage, line = result.err.strip().splitlines()
    for each in usage:
        assert each.startswith(("Usage:", "Try")) or not each, result.err
    assert "\x1b" not in result.err
    assert line.startswith(("Error:", "srx: error:"))
    named = repr(value[0])[1:-1]  # what would steer the terminal is escaped
    assert any(name in line for name in (*option.opts, named))
    if isinstance(option.type, click.Choice):
        for choice in option.type.choices:
            assert str(choice) in line
    assert not [*tmp_path.iterdir()]


def test_every_option_of_every_command_is_attacked(tell):
    names = {words for words, _ in commands()}
    attacked = {(words, option.name) for words, option, _ in CASES}
    for words, command in commands():
        for option in command.params:
            if isinstance(option, click.Option) and not (
                option.is_flag or option.count
            ):
                assert (words, option.name) in attacked or FREE & {*option.opts}, (
                    words,
                    option,
                )
    count = f"{len(attacked)} options of {len(names)} commands"
    tell(f"wrong values of options: {len(CASES)}, of {count}")


@pytest.mark.parametrize("words", [words for words, _ in commands()])
def test_unknown_options_are_refused(srx, words):
    assert "--no-such-option" in srx(*words.split(), "--no-such-option", code=2).err

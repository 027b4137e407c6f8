"""Names, networks and files: to run, and among what was run."""

from __future__ import annotations

import pytest

from srcli.errors import ModelError, RecipeError, UsageError
from srcli.pipelines.ablate.selection import select_checked, select_stored
from srcli.recipes.ablations import ABLATIONS

FILE = """
[[ablation]]
name = "mine"
question = "Which loss?"
recipe = "ddsr-short"
scale = 2
base = "a"
changes = { "network.depth" = 2 }
[[ablation.variants]]
name = "a"
sentence = "as it is"
[[ablation.variants]]
name = "b"
sentence = "other"
changes = { "stages.0.losses.0.name" = "l1" }
"""


@pytest.fixture
def file(tmp_path):
    """A file with one ablation."""
    path = tmp_path / "my.toml"
    path.write_text(FILE)
    return path


def test_names_and_files_to_run(file):
    found = select_checked(["ddsr/depth", str(file)])
    assert [each.name for each in found] == ["ddsr/depth", "mine"]


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (('"l1"', '"l9"'), RecipeError, "no loss 'l9'"),
        (("losses.0.name", "losses.0.options.foo"), RecipeError, "no option 'foo' in loss"),
        (('"stages.0.losses.0.name"', '"network.wings"'), ModelError, "no option 'wings'"),
    ],
)
def test_what_cannot_be_trained_names_file_ablation_and_variant(file, change, kind, message):
    file.write_text(FILE.replace(*change))
    with pytest.raises(kind, match=message) as caught:
        select_checked([str(file)])
    text = str(caught.value)
    assert text.startswith(f"{file}: mine, variant 'b': ")
    assert text.count(str(file)) == 1


def test_names_networks_and_files_among_results(file):
    there = ["ddsr/depth", "ddsr/residual", "mine", "yours/parts"]
    assert select_stored(["mine"], there) == ["mine"]
    assert select_stored([str(file)], there) == ["mine"]
    assert select_stored(["ddsr"], there) == ["ddsr/depth", "ddsr/residual"]
    assert select_stored(["yours", "yours/parts"], there) == ["yours/parts"]


def test_a_name_without_results_and_one_that_is_none_are_told_apart(file):
    for name in ("ddsr/depth", "ddsr", str(file)):
        with pytest.raises(UsageError, match=rf"no results of {name} in the store"):
            select_stored([name], ["other"])
    for name, near in (("ddsr/residul", "ddsr/residual"), ("yours", "mine/yours")):
        with pytest.raises(RecipeError, match=rf"no ablation '{name}' .*did you mean '{near}'"):
            select_stored([name], ["mine/yours"])
    assert "ddsr/residual" in ABLATIONS

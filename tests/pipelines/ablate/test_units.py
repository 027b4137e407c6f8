"""Options that make no sense are refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from srcli.errors import RecipeError, UsageError
from srcli.pipelines.ablate.store import default_store
from srcli.pipelines.ablate.units import AblateOptions

DATA = (Path("photos"),)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": 0}, "--seeds must be at least 1, got 0"),
        ({"processes": 0}, "--processes must be at least 1"),
        ({"threads": -1}, "--threads must be at least 0"),
        ({"sets": ()}, "--sets: name at least one"),
        ({"data": ()}, "--data: give pictures to train on, or --no-train"),
        ({"precision": "fp16"}, "--precision fp16: gradients would vanish"),
        ({"budget": "0"}, "budget '0': give iterations"),
    ],
)
def test_nonsense_is_refused(change, words):
    with pytest.raises((UsageError, RecipeError), match=words):
        AblateOptions(**{"data": DATA, **change})


def test_without_training_no_pictures_are_needed():
    assert AblateOptions(train=False).data == ()


def test_results_are_kept_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SRX_CACHE", str(tmp_path))
    assert default_store() == tmp_path / "ablations"
    assert AblateOptions(train=False).store == tmp_path / "ablations"

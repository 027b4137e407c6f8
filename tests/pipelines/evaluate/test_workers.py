"""Evaluation by an executor: the scores and pictures of one process, in its order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate
from tests.fixtures.workers import SimulatedExecutor

OPTIONS = EvalOptions(metrics=("psnr",), costs=False)


@pytest.fixture
def sets(tmp_path, astronaut):
    """Two sets of HR pictures with one that cannot be read, and SR pictures of one of them."""
    for name, count in (("one", 9), ("two", 3), ("other", 8)):
        (tmp_path / name).mkdir()
        for i in range(count):
            picture = Image.fromarray(np.ascontiguousarray(astronaut[i : i + 40, : 32 + 4 * i]))
            picture.save(tmp_path / name / f"{i}.png")
    (tmp_path / "two" / "broken.png").write_text("no picture")
    (tmp_path / "other" / "9.png").write_bytes((tmp_path / "other" / "0.png").read_bytes())
    return [str(tmp_path / "one"), str(tmp_path / "two")]


def run(sets, tmp_path, **settings):
    pictures: list[Any] = []
    result = evaluate(
        ["bicubic", str(tmp_path / "other")], sets, scales=(2, 4), options=OPTIONS,
        on_picture=[pictures.append], **settings,
    )  # fmt: skip
    plain = result.as_json()
    for each in plain["means"] + plain["pictures"]:
        del each["seconds"]
    plain["failures"].sort(key=str)
    return plain, [(p.scale, p.dataset, p.picture, p.psnr, p.sr["bicubic"].sum()) for p in pictures]


def test_scores_failures_and_pictures_are_those_of_one_process(sets, tmp_path, notes):
    alone, pictures = run(sets, tmp_path)
    assert len(alone["failures"]) > 2
    assert len(pictures) == 2 * 12
    assert run(sets, tmp_path, executor=SimulatedExecutor(), progress=notes) == (alone, pictures)
    ((label, done, _),) = notes.closed
    assert (label, done) == ("pictures", 2 * 13)


def test_a_picture_that_kills_its_worker_fails_alone(sets, tmp_path):
    alone, _ = run(sets, tmp_path)

    def holds_1(share):
        return "1" in {picture.name for _, picture in share.items}

    lost, _ = run(sets, tmp_path, executor=SimulatedExecutor(2, holds_1))
    kept = [each for each in alone["pictures"] if each["picture"] != "1"]
    assert lost["pictures"] == kept
    reasons = [each["reason"] for each in lost["failures"] if each["picture"] == "1"]
    assert len(reasons) == 4
    assert all(reason.endswith("1.png: its process was killed") for reason in reasons)

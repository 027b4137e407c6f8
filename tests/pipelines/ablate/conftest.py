"""A tiny ablation with pictures to train on, and results as if run."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from srcli.pipelines.ablate.results import (
    AblationResult,
    Conditions,
    PictureScores,
    SeedResult,
    SetScores,
    VariantCost,
    VariantResult,
)
from srcli.pipelines.ablate.run import AblateOptions
from srcli.recipes.ablations import Ablation, Variant

HOSTILE = '<script>alert("1")</script>|*_x_*&amp;\' onload=x'
TINY = {
    "network.channels": 8,
    "network.num_blocks": 1,
    "network.num_groups": 1,
    "stages.0.batch": 2,
    "stages.0.patch": 12,
}


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Seven crops of photographs to train on."""
    from skimage import data

    coffee = data.coffee()
    return _crops(tmp_path_factory.mktemp("pictures"), coffee, 7, size=48)


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """Three crops of another photograph to measure on, in a folder ``Faces``."""
    from skimage import data

    folder = tmp_path_factory.mktemp("sets") / "Faces"
    folder.mkdir()
    return _crops(folder, data.astronaut(), 3, size=40)


def _crops(folder, image, count, *, size):
    for i in range(count):
        top = 20 + 37 * i
        left = 100 + 41 * i
        crop = np.ascontiguousarray(image[top : top + size, left : left + size])
        Image.fromarray(crop).save(folder / f"{'abcdefg'[i] * 3}.png")
    return folder


@pytest.fixture(scope="session")
def tiny(faces):
    """Three variants of a tiny network, of which the last diverges."""
    return Ablation(
        name="tiny/parts",
        question="Does the tiny network need its non-local block?",
        recipe="g-idrn-short",
        scale=2,
        base="with",
        sets=(str(faces), "nowhere"),
        source="a paper, Table 7",
        changes=TINY,
        variants=(
            Variant(name="with", sentence="as it is", published={"Faces.psnr": 30.1}),
            Variant(
                name="without",
                sentence="without the block",
                changes={"network.anrb": False},
                published={"Faces.psnr": 30.2},
            ),
            Variant(
                name="too fast",
                sentence="a rate that diverges",
                changes={
                    "stages.0.optimizer.learning_rate": 1e9,
                    "stages.0.optimizer.clip_norm": 0.0,
                },
            ),
        ),
        memory_sizes=((24, 32),),
    )


@pytest.fixture(scope="session")
def settings(pictures):
    """Options of six iterations on one thread of the processor, but for the folder."""
    options = {"data": (pictures,), "budget": "6"}
    return {**options, "device": "cpu", "precision": "fp32", "threads": 1}


@pytest.fixture
def options(settings, tmp_path):
    """Options for a folder of this test."""
    return AblateOptions(**settings, out=tmp_path / "out")


PRINTED = {
    "small": {
        "parameters": 12.3,
        "Set5.psnr": 30.19,
        "B100.psnr": 27.1,
        "memory.64x48": 21,
    },
    "middle": {"Set5.psnr": 30.62, "Set5.ssim": 0.8511},
    "large": {"Set5.psnr": 30.7, "memory.64x48": 4096},
    "other": {"Set5.psnr": 30.5},
}
OFFSETS = {"small": -0.5, "middle": 0.0, "large": -0.2, "other": 0.001}


@pytest.fixture
def written():
    """Four variants on two sets with three seeds, one training failed; names no format likes."""
    variants = []
    results = []
    for index, (name, published) in enumerate(PRINTED.items()):
        variant = Variant(
            name=name,
            sentence=f"{name} {HOSTILE}",
            published=published,
            note="a | note",
        )
        variants.append(variant)
        seeds = tuple(_seed(index, name, seed) for seed in range(3))
        results.append(VariantResult(variant=variant, cost=_cost(index), seeds=seeds))
    ablation = Ablation(
        name="net/size",
        question=f"How large {HOSTILE}?",
        recipe="nested-attn-short",
        scale=4,
        base="middle",
        variants=tuple(variants),
        sets=("Set5", "BSD100"),
        source="Nobody | et al., Table <2>",
        memory_sizes=((64, 48),),
        memory_gradients=True,
        note="one <b>sentence</b>",
    )
    conditions = Conditions(
        trained=True,
        budget="5000",
        seeds=3,
        overrides=(),
        data=("/somewhere/photos.zip",),
        pictures=700,
        held_out=16,
        data_digest="0123",
        sets=(
            "Set5",
            "BSD100",
        ),
        missing=("Manga109",),
        precision="bf16",
        device="cpu",
        machine="cpu (a processor), 2 threads, torch 2",
        processes=2,
    )
    return AblationResult(
        ablation=ablation, conditions=conditions, variants=tuple(results)
    )


COUNTS = {"Set5": 5, "BSD100": 9}


def _cost(index):
    peak = None if index == 2 else (20 + index) << 20
    return VariantCost(
        parameters=12_345 * (index + 1),
        macs=10**9 * (index + 1),
        memory={"64x48": peak},
    )


def _seed(index, name, seed):
    if name == "other" and seed == 2:
        return SeedResult(seed=seed, failure="the training <has> diverged")
    generator = np.random.default_rng(seed)
    scores = {}
    for dataset, count in COUNTS.items():
        level = 30 + generator.normal(0, 0.02)
        spread = np.random.default_rng(7).normal(0, 2, count)
        noise = np.random.default_rng([seed, index]).normal(0, 0.02, count)
        values = level + OFFSETS[name] + spread + noise
        pictures = {
            f"p{i}": PictureScores(psnr=float(v), ssim=0.85)
            for i, v in enumerate(values)
        }
        scores[dataset] = SetScores(pictures=pictures, bicubic=27.0)
    return SeedResult(seed=seed, iterations=5000, scores=scores)

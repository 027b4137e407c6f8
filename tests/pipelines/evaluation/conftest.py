"""An evaluation of real photographs with names that no format likes, and a reader of HTML."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from srcli.imaging.resize import mod_crop, resize
from srcli.metrics.protocol import PROTOCOLS
from srcli.pipelines.evaluation.comparison import Comparison, cut
from srcli.pipelines.evaluation.scores import Evaluation, Failure, ModelCost, PictureScore
from srcli.pipelines.evaluation.statistics import Difference, paired
from srcli.recipes.published import PublishedRow

HOSTILE = '<script>alert("1")</script>|*_x_*&amp;\' onload=x'
LONG = "runs/a-very-long-name-of-an-experiment_ema0.999_patch192_batch64/best.safetensors"
SETS = {"Photos": ("astronaut", "coffee"), HOSTILE: ("cat|<i>",)}
MODELS = ("bicubic", LONG, HOSTILE)
PARAMETERS = dict(zip(MODELS, (0, 579_738, 1_234_567), strict=True))


@pytest.fixture(scope="session")
def written():
    """Three models on three pictures of two sets; the last failed on the last picture."""
    return _evaluate()[0]


@pytest.fixture(scope="session")
def crops():
    """Comparisons of the same pictures."""
    return _evaluate()[1]


def _photographs():
    from skimage import data

    return {
        "astronaut": data.astronaut()[40:168, 160:320],
        "coffee": data.coffee()[100:232, 200:364],
        "cat|<i>": data.chelsea()[90:190, 100:240],
    }


def _evaluate():
    result = Evaluation(
        scales=(4,),
        models=MODELS,
        protocol=PROTOCOLS["y"],
        metrics=("psnr", "ssim"),
        chain="protocol y; LR: bicubic | <rounded>",
        sizes={(4, name): len(pictures) for name, pictures in SETS.items()},
    )
    comparisons = []
    photographs = _photographs()
    for dataset, names in SETS.items():
        for name in names:
            hr = mod_crop(np.ascontiguousarray(photographs[name]), 4)
            lr = resize(hr, Fraction(1, 4))
            sr = _enlarge(lr, hr)
            if name.startswith("cat"):
                del sr[HOSTILE]
            _score(result, dataset, name, hr, sr)
            comparisons.append(_compare(result, dataset, name, hr, lr, sr))
    _summarise(result)
    return result, comparisons


def _enlarge(lr, hr):
    bicubic = resize(lr, 4)
    mixes = {LONG: 0.4, HOSTILE: 0.2}
    found = {"bicubic": bicubic}
    for name, share in mixes.items():
        found[name] = np.rint(share * hr + (1 - share) * bicubic).astype(np.uint8)
    return found


def _score(result, dataset, name, hr, sr):
    for model, pixels in sr.items():
        psnr, ssim = result.protocol.score(pixels, hr, 4)
        result.scores.append(
            PictureScore(
                scale=4,
                dataset=dataset,
                picture=name,
                model=model,
                values={"psnr": psnr, "ssim": ssim},
                seconds=None if model == HOSTILE else 0.0125,
            )
        )


def _compare(result, dataset, name, hr, lr, sr):
    window, hr_crop, lr_crop, sr_crops = cut(hr, lr, sr, scale=4)
    small = Image.fromarray(hr)
    small.thumbnail((160, 160))
    psnr = {s.model: s.values["psnr"] for s in result.scores if s.picture == name}
    return Comparison(
        scale=4,
        dataset=dataset,
        picture=name,
        size=hr.shape[:2],
        window=window,
        overview=np.asarray(small),
        hr=hr_crop,
        lr=lr_crop,
        sr=sr_crops,
        psnr=psnr,
    )


def _summarise(result):
    for dataset in SETS:
        for model in MODELS[1:]:
            for metric in result.metrics:
                first, other = (
                    {s.picture: s.values[metric] for s in result.of(4, dataset, m)}
                    for m in (MODELS[0], model)
                )
                count, mean, low, high = paired(first, other, resamples=500)
                if count:
                    result.differences.append(
                        Difference(
                            scale=4,
                            dataset=dataset,
                            model=model,
                            against=MODELS[0],
                            metric=metric,
                            pictures=count,
                            mean=mean,
                            low=low,
                            high=high,
                        )
                    )
    result.failures += [
        Failure(scale=4, dataset=HOSTILE, picture="cat|<i>", model=HOSTILE, reason="<out> of\nice"),
        Failure(scale=4, dataset="Photos", picture="16-bit", model=None, reason="has | values"),
    ]
    result.published += [
        _printed("OLD", {"psnr": 28.2}, parameters=550.0),
        _printed("NEW|", {"psnr": 28.35, "ssim": 0.7841}),
        _printed("ELSEWHERE", {"psnr": 1.0}, parameters=1.0, scale=2),
    ]
    result.costs += [
        ModelCost(
            scale=4,
            model=model,
            size=(256, 256),
            parameters=count,
            conv_macs=count * 62_191,
            challenge_flops=count * 62_410,
            hd_conv_macs=count * 54_700,
            peak_memory=None if model == HOSTILE else 123 << 20,
            memory_of="host",
        )
        for model, count in PARAMETERS.items()
    ]


def _printed(method, values, *, parameters=None, scale=4):
    return PublishedRow(
        scale=scale,
        dataset="Photos",
        method=method,
        model=None,
        values=values,
        parameters=parameters,
        source="Nobody | et al., Table <2>",
        protocol="Y",
    )

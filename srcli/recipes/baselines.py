"""Training recipes of the networks that the papers compare with, as their authors state them."""

from __future__ import annotations

from dataclasses import replace

from srcli.recipes.training import LossTerm, Optimizer, Schedule, Stage, TrainRecipe

_HALVED = Schedule(kind="halving", every=0.2)
"""Five equal parts, as 10^6 iterations that halve the rate every 2*10^5."""
_CAFFE = Optimizer(kind="sgd", learning_rate=1e-4, momentum=0.9)


def _adam(
    rate: float,
    *,
    batch: int,
    patch: int,
    steps: int = 1_000_000,
    schedule: Schedule = _HALVED,
    loss: str = "l1",
) -> Stage:
    """Return a stage by Adam."""
    return Stage(
        losses=(LossTerm(name=loss),),
        optimizer=Optimizer(learning_rate=rate),
        schedule=schedule,
        steps=steps,
        batch=batch,
        patch=patch,
    )


def _squared(pixels: int) -> tuple[LossTerm, ...]:
    """Half the sum of squared errors of a patch of so many pixels a side, as Caffe counts them."""
    return (LossTerm(name="l2", weight=pixels**2 / 2),)


_RFDN = TrainRecipe(
    model="rfdn",
    stages=(_adam(5e-4, batch=64, patch=64),),
    paper="RFDN 2020: DIV2K, L1, HR patches of 256x256 (patch=64 is for x4), Adam 5e-4 halved "
    "every 2*10^5 of 10^6 iterations",
)
_RLFN = TrainRecipe(
    model="rlfn",
    stages=(_adam(5e-4, batch=64, patch=64),) * 3,
    paper="RLFN 2022: DIV2K and Flickr2K, HR patches of 256x256 (patch=64 is for x4), Adam 5e-4 "
    "halved every 2*10^5 of 10^6 iterations, then twice again from the weights so far; the "
    "contrastive loss of the last stage is left to --set",
)
_EDSR = TrainRecipe(
    model="edsr",
    stages=(
        _adam(1e-4, batch=16, patch=48, steps=300_000, schedule=Schedule(milestones=(2 / 3,))),
    ),
    paper="EDSR 2017: DIV2K, L1, LR patches of 48x48, Adam 1e-4 halved every 2*10^5 of 3*10^5 "
    "iterations; x3 and x4 begin from x2 (--init)",
)
_FSRCNN = TrainRecipe(
    model="fsrcnn",
    stages=(
        Stage(
            losses=_squared(21),
            optimizer=replace(_CAFFE, learning_rate=1e-3, rates={"up": 0.1}),
            schedule=Schedule(kind="constant"),
            batch=128,
            patch=7,
        ),
    ),
    paper="FSRCNN 2016: 91-images, then with General-100 at half the rate; squared errors, SGD "
    "1e-3, the deconvolution at a tenth; patches of 7x7 are for x3, 10x10 for x2, 6x6 for x4; "
    "batch and iterations are those of the authors' Caffe files",
)
_SRCNN = TrainRecipe(
    model="srcnn",
    stages=(
        Stage(
            losses=_squared(33),
            optimizer=replace(_CAFFE, rates={"layers.2": 0.1}),
            schedule=Schedule(kind="constant"),
            steps=6_250_000,
            batch=128,
            patch=11,
        ),
    ),
    paper="SRCNN 2016: ImageNet on Y, squared errors, SGD 1e-4, the last layer at a tenth, 8*10^8 "
    "patches of 33x33 (patch=11 is for x3)",
)

BASELINES: dict[str, TrainRecipe] = {
    "rfdn": _RFDN,
    "rfdn-l": replace(_RFDN, network={"channels": 52}),
    "imdn": TrainRecipe(
        model="imdn",
        stages=(_adam(2e-4, batch=16, patch=48),),
        paper="IMDN 2019: DIV2K, L1, HR patches of 192x192 (patch=48 is for x4), Adam 2e-4 halved "
        "every 2*10^5 of 10^6 iterations",
    ),
    "rlfn": _RLFN,
    "rlfn-s": replace(_RLFN, network={"channels": 48}),
    "fsrcnn": _FSRCNN,
    "fsrcnn-s": replace(_FSRCNN, network={"channels": 32, "inner": 5, "depth": 1}),
    "srcnn": _SRCNN,
    "srcnn-915": replace(_SRCNN, network={"middle": 1}),
    "srcnn-935": replace(_SRCNN, network={"middle": 3}),
    "vdsr": TrainRecipe(
        model="vdsr",
        stages=(
            Stage(
                losses=_squared(41),
                optimizer=Optimizer(
                    kind="sgd", learning_rate=0.1, momentum=0.9, weight_decay=1e-4, clip_norm=0.4
                ),
                schedule=Schedule(milestones=(0.25, 0.5, 0.75), gamma=0.1),
                steps=9_960,
                batch=64,
                patch=14,
            ),
        ),
        paper="VDSR 2016: 291 pictures on Y, all scales at once, squared errors, patches of 41x41 "
        "(patch=14 is for x3), SGD 0.1, a tenth every 20 of 80 epochs; its clipping loosens as "
        "the rate falls, ours does not",
    ),
    "edsr": _EDSR,
    "edsr-baseline": replace(
        _EDSR, network={"channels": 64, "num_blocks": 16, "residual_scale": 1.0}
    ),
    "srresnet": TrainRecipe(
        model="srresnet",
        stages=(_adam(1e-4, batch=16, patch=24, schedule=Schedule(kind="constant"), loss="l2"),),
        paper="SRResNet 2017: 350,000 pictures of ImageNet, mean squared error, HR patches of "
        "96x96, Adam 1e-4, 10^6 iterations",
    ),
    "carn": TrainRecipe(
        model="carn",
        stages=(
            _adam(1e-4, batch=64, patch=64, steps=600_000, schedule=Schedule(milestones=(2 / 3,))),
        ),
        paper="CARN 2018: DIV2K, 91-images and BSD200, all scales at once, L1, LR patches of "
        "64x64, Adam 1e-4 halved after 4*10^5 of 6*10^5 iterations",
    ),
    "carn-m": TrainRecipe(
        model="carn",
        network={"mobile": True},
        stages=(
            _adam(1e-4, batch=64, patch=64, steps=600_000, schedule=Schedule(milestones=(2 / 3,))),
        ),
        paper="CARN-M 2018: as carn",
    ),
    "pan": TrainRecipe(
        model="pan",
        stages=tuple(
            replace(
                _adam(1e-3, batch=32, patch=64, steps=250_000, schedule=Schedule(kind="cosine")),
                reset_optimizer=number == 0,
            )
            for number in range(4)
        ),
        paper="PAN 2020: DIV2K and Flickr2K, L1, LR patches of 64x64, Adam 1e-3 to 1e-7 by cosines "
        "of 250,000 iterations, four of them",
    ),
    "rcan": TrainRecipe(
        model="rcan",
        stages=(_adam(1e-4, batch=16, patch=48),),
        paper="RCAN 2018: DIV2K, L1, LR patches of 48x48, Adam 1e-4 halved every 2*10^5 "
        "iterations, 10^6 here",
    ),
    "idn": TrainRecipe(
        model="idn",
        stages=(
            _adam(
                1e-4,
                batch=64,
                patch=13,
                steps=850_000,
                schedule=Schedule(milestones=(0.3, 0.6), gamma=0.1),
            ),
        ),
        paper="IDN 2018: 291 pictures on Y, L1 after training by squared errors, Adam 1e-4; its "
        "patches are 29x29 for x2 and smaller for x3 and x4; milestones are ours",
    ),
    "drcn": TrainRecipe(
        model="drcn",
        stages=(
            Stage(
                losses=_squared(41),
                optimizer=replace(_CAFFE, learning_rate=1e-2, weight_decay=1e-4, clip_norm=0.4),
                schedule=Schedule(milestones=(0.33, 0.67), gamma=0.1),
                steps=60_000,
                batch=64,
                patch=14,
            ),
        ),
        paper="DRCN 2016: 91 pictures on Y, squared errors, patches of 41x41 (patch=14 is for x3), "
        "SGD 0.01, a tenth where the error stops to fall; without its loss on every recursion",
    ),
    "drrn": TrainRecipe(
        model="drrn",
        stages=(
            Stage(
                losses=_squared(31),
                optimizer=replace(_CAFFE, learning_rate=0.1, weight_decay=1e-4, clip_norm=0.01),
                schedule=Schedule(kind="halving", every=0.2),
                steps=300_000,
                batch=128,
                patch=10,
            ),
        ),
        paper="DRRN 2017: 291 pictures on Y, all scales at once, squared errors, patches of 31x31 "
        "(patch=10 is for x3), SGD 0.1 halved every 10 of 50 epochs; iterations are ours",
    ),
    "rdn": TrainRecipe(
        model="rdn",
        stages=(_adam(1e-4, batch=16, patch=32),),
        paper="RDN 2018: DIV2K, L1, LR patches of 32x32, Adam 1e-4 halved every 200 of 1000 "
        "epochs of 1,000 iterations",
    ),
    "ecbsr": TrainRecipe(
        model="ecbsr",
        stages=(
            _adam(5e-4, batch=32, patch=64, steps=1_600_000, schedule=Schedule(kind="constant")),
        ),
        paper="ECBSR 2021: DIV2K on Y, L1, Adam 5e-4, constant; patches and iterations as in "
        "BasicSR, 256x256 HR and 1.6*10^6",
    ),
    "rrdbnet": TrainRecipe(
        model="rrdbnet",
        stages=(_adam(2e-4, batch=16, patch=32),),
        paper="ESRGAN 2018, the model for PSNR: DIV2K, Flickr2K and OST, L1, HR patches of "
        "128x128, Adam 2e-4 halved every 2*10^5 of 10^6 iterations",
    ),
    "srvgg": TrainRecipe(
        model="srvgg",
        stages=(_adam(2e-4, batch=48, patch=64, schedule=Schedule(kind="constant")),),
        paper="Real-ESRGAN 2021, its stage for PSNR: DIV2K, Flickr2K and OST, L1, HR patches of "
        "256x256, Adam 2e-4, 10^6 iterations; its degradations are other ones, see --set "
        "degradation=photo",
    ),
}

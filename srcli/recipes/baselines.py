"""Training recipes of the networks that the papers compare with, as their authors state them."""

from __future__ import annotations

from dataclasses import replace

from srcli.recipes.training import LossTerm, Optimizer, Schedule, Stage, TrainRecipe

_HALVED = Schedule(kind="halving", every=0.2)
"""Five equal parts, as 10^6 iterations that halve the rate every 2*10^5."""
_CONSTANT = Schedule(kind="constant")
_HR_256 = (128, 85, 64)
"""LR patches of 256x256 HR pixels at x2, x3 and x4."""
_HR_192 = (96, 64, 48)
_CAFFE = Optimizer(kind="sgd", learning_rate=1e-4, momentum=0.9)


def _adam(
    rate: float,
    *,
    batch: int,
    patch: int | tuple[int, int, int],
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


def _tenths(*milestones: float) -> Schedule:
    """Return a schedule that divides the rate by ten after these fractions of a stage."""
    return Schedule(milestones=milestones, gamma=0.1)


def _sgd(
    rate: float, *, pixels: int, clip_norm: float, batch: int, steps: int, schedule: Schedule
) -> Stage:
    """Return a stage by SGD on squared errors of HR patches of so many pixels a side."""
    return Stage(
        losses=_squared(pixels),
        optimizer=replace(_CAFFE, learning_rate=rate, weight_decay=1e-4, clip_norm=clip_norm),
        schedule=schedule,
        steps=steps,
        batch=batch,
        patch=(round(pixels / 2), round(pixels / 3), round(pixels / 4)),
    )


_RFDN = TrainRecipe(
    model="rfdn",
    stages=(_adam(5e-4, batch=64, patch=_HR_256),),
    paper="RFDN 2020: DIV2K, L1, HR patches of 256x256, Adam 5e-4 halved every 2*10^5 of 10^6 "
    "iterations",
)
_RLFN = TrainRecipe(
    model="rlfn",
    stages=(_adam(5e-4, batch=64, patch=_HR_256),) * 3,
    paper="RLFN 2022: DIV2K and Flickr2K, HR patches of 256x256, Adam 5e-4 halved every 2*10^5 of "
    "10^6 iterations, then twice again from the weights so far; where its contrastive loss comes "
    "in could not be checked, L1 alone stands here",
    inferred=("stages.2.losses",),
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
            schedule=_CONSTANT,
            batch=128,
            patch=(10, 7, 6),
        ),
    ),
    paper="FSRCNN 2016: 91-images, then with General-100 at half the rate; squared errors, SGD "
    "1e-3, the deconvolution at a tenth; batch and iterations are those of the authors' Caffe "
    "files",
)
_SRCNN = TrainRecipe(
    model="srcnn",
    stages=(
        Stage(
            losses=_squared(33),
            optimizer=replace(_CAFFE, rates={"layers.2": 0.1}),
            schedule=_CONSTANT,
            steps=6_250_000,
            batch=128,
            patch=(16, 11, 8),
        ),
    ),
    paper="SRCNN 2016: ImageNet on Y, squared errors, SGD 1e-4, the last layer at a tenth, 8*10^8 "
    "patches of 33x33",
)
_CARN = TrainRecipe(
    model="carn",
    stages=(
        _adam(1e-4, batch=64, patch=64, steps=600_000, schedule=Schedule(milestones=(2 / 3,))),
    ),
    paper="CARN 2018: DIV2K, 91-images and BSD200, all scales at once, L1, LR patches of 64x64, "
    "Adam 1e-4 halved after 4*10^5 of 6*10^5 iterations",
)
_VDSR = _sgd(
    0.1, pixels=41, clip_norm=0.4, batch=64, steps=9_960, schedule=_tenths(0.25, 0.5, 0.75)
)
_DRCN = _sgd(1e-2, pixels=41, clip_norm=0.4, batch=64, steps=60_000, schedule=_tenths(0.33, 0.67))
_DRRN = _sgd(0.1, pixels=31, clip_norm=0.1, batch=128, steps=326_800, schedule=_HALVED)
_MEMNET = replace(_DRRN, schedule=_tenths(1 / 3, 2 / 3), batch=64, steps=600_000)

BASELINES: dict[str, TrainRecipe] = {
    "rfdn": _RFDN,
    "rfdn-l": replace(_RFDN, network={"channels": 52}),
    "imdn": TrainRecipe(
        model="imdn",
        stages=(_adam(2e-4, batch=16, patch=_HR_192),),
        paper="IMDN 2019: DIV2K, L1, HR patches of 192x192, Adam 2e-4 halved every 2*10^5 of 10^6 "
        "iterations",
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
        stages=(_VDSR,),
        paper="VDSR 2016: 291 pictures on Y, all scales at once, squared errors, patches of 41x41, "
        "SGD 0.1, a tenth every 20 of 80 epochs; its clipping loosens as the rate falls, ours does "
        "not",
    ),
    "edsr": _EDSR,
    "edsr-baseline": replace(
        _EDSR, network={"channels": 64, "num_blocks": 16, "residual_scale": 1.0}
    ),
    "srresnet": TrainRecipe(
        model="srresnet",
        stages=(_adam(1e-4, batch=16, patch=(48, 32, 24), schedule=_CONSTANT, loss="l2"),),
        paper="SRResNet 2017: 350,000 pictures of ImageNet, mean squared error, HR patches of "
        "96x96, Adam 1e-4, 10^6 iterations",
    ),
    "carn": _CARN,
    "carn-m": replace(_CARN, network={"mobile": True}, paper="CARN-M 2018: as carn"),
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
        stages=tuple(
            Stage(
                losses=(LossTerm(name=loss, weight=float(57**2)),),
                optimizer=Optimizer(learning_rate=rate, weight_decay=1e-4, rates={"up": 0.1}),
                schedule=_tenths(5 / 12, 5 / 6),
                steps=600_000,
                batch=64,
                patch=patch,
            )
            for loss, rate, patch in (("l1", 1e-4, (29, 15, 11)), ("l2", 1e-5, (39, 26, 19)))
        ),
        paper="IDN 2018: 291 pictures on Y, L1, then squared errors of larger patches at a tenth "
        "of the rate; Adam 1e-4 with a weight decay of 1e-4, a tenth every 250,000 of 600,000 "
        "iterations, the deconvolution at a tenth, as in the authors' Caffe files",
        inferred=("stages.0.losses.0.weight", "stages.1.losses.0.weight", "stages.1.steps"),
    ),
    "drcn": TrainRecipe(
        model="drcn",
        stages=(_DRCN,),
        paper="DRCN 2016: 91 pictures on Y, squared errors, patches of 41x41, SGD 0.01, a tenth "
        "where the error stops to fall; without its loss on every recursion",
        inferred=("stages.0.steps", "stages.0.schedule", "stages.0.optimizer.clip_norm"),
    ),
    "drrn": TrainRecipe(
        model="drrn",
        stages=(_DRRN,),
        paper="DRRN 2017: 291 pictures on Y, all scales at once, squared errors, patches of 31x31, "
        "SGD 0.1 halved every 65,360 iterations (10 of 50 epochs), as in the authors' Caffe files; "
        "their clipping is 0.01 over the rate, ours stays as it begins",
    ),
    "memnet": TrainRecipe(
        model="memnet",
        stages=(_MEMNET,),
        paper="MemNet 2017: 291 pictures on Y, all scales at once, squared errors, patches of "
        "31x31, SGD 0.1, a tenth every 200,000 iterations, as in the authors' Caffe files, which "
        "clip as drrn; without its loss on every memory block",
        inferred=("stages.0.steps", "stages.0.batch"),
    ),
    "lapsrn": TrainRecipe(
        model="lapsrn",
        stages=(
            Stage(
                losses=(LossTerm(name="l1", weight=float(128**2)),),
                optimizer=replace(_CAFFE, learning_rate=1e-5, weight_decay=1e-4),
                schedule=Schedule(milestones=(0.05, 0.1, 0.15)),
                steps=100_000,
                batch=64,
                patch=(64, 43, 32),
            ),
        ),
        paper="LapSRN 2017: 91-images and BSD200 on Y, sums of absolute errors, HR patches of "
        "128x128, SGD 1e-5 halved every 50 of 1000 epochs of 100 iterations, down to 1e-6, as in "
        "the authors' code; without its loss on every level",
    ),
    "rdn": TrainRecipe(
        model="rdn",
        stages=(_adam(1e-4, batch=16, patch=32),),
        paper="RDN 2018: DIV2K, L1, LR patches of 32x32, Adam 1e-4 halved every 200 of 1000 "
        "epochs of 1,000 iterations",
    ),
    "ecbsr": TrainRecipe(
        model="ecbsr",
        stages=(_adam(5e-4, batch=32, patch=64, steps=1_600_000, schedule=_CONSTANT),),
        paper="ECBSR 2021: DIV2K on Y, L1, LR patches of 64x64, Adam 5e-4, constant, 1000 epochs "
        "of 1,600 iterations, as in the authors' configurations",
    ),
    "latticenet": TrainRecipe(
        model="latticenet",
        stages=(_adam(2e-4, batch=16, patch=48),),
        paper="LatticeNet 2020: DIV2K, L1, LR patches of 48x48, Adam 2e-4 halved every 200 epochs "
        "of 1,000 iterations, as in the authors' code",
        inferred=("stages.0.steps",),
    ),
    "maffsrn": TrainRecipe(
        model="maffsrn",
        stages=(_adam(2e-4, batch=16, patch=48),),
        paper="MAFFSRN 2020: DIV2K, L1, 2e-4 halved every 200 of 1000 epochs of 1,000 iterations, "
        "as in the authors' code, by Adam instead of AdamP",
        inferred=("stages.0.batch", "stages.0.patch", "stages.0.optimizer.kind"),
    ),
    "cfsrcnn": TrainRecipe(
        model="cfsrcnn",
        stages=(
            replace(
                _adam(1e-4, batch=64, patch=77, steps=600_000, loss="l2"),
                optimizer=Optimizer(learning_rate=1e-4, clip_norm=10.0),
                schedule=Schedule(milestones=(2 / 3,)),
            ),
        ),
        paper="CFSRCNN 2020: DIV2K, mean squared error, LR patches of 77x77, Adam 1e-4 halved "
        "after 4*10^5 of 6*10^5 iterations, as in the authors' code",
    ),
    "rrdbnet": TrainRecipe(
        model="rrdbnet",
        stages=(_adam(2e-4, batch=16, patch=32),),
        paper="ESRGAN 2018, the model for PSNR: DIV2K, Flickr2K and OST, L1, HR patches of "
        "128x128 (patch=32 is for x4), Adam 2e-4 halved every 2*10^5 of 10^6 iterations",
    ),
    "srvgg": TrainRecipe(
        model="srvgg",
        stages=(_adam(2e-4, batch=48, patch=64, schedule=_CONSTANT),),
        paper="Real-ESRGAN 2021, its stage for PSNR: DIV2K, Flickr2K and OST, L1, HR patches of "
        "256x256 (patch=64 is for x4), Adam 2e-4, 10^6 iterations; its degradations are other "
        "ones, see --set degradation=photo",
    ),
}

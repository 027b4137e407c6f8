"""What each model of an evaluation costs, measured once for its weights and device."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from srcli.evaluation.cost import model_cost
from srcli.evaluation.scores import ModelCost
from srcli.inference.device import choose_device
from srcli.pipelines.evaluate.cache import key_of

if TYPE_CHECKING:
    from srcli.evaluation.candidates import NetworkContestant
    from srcli.pipelines.evaluate.cache import ScoreCache
    from srcli.pipelines.evaluate.options import EvalOptions

SIZE = (256, 256)
"""LR (height, width): that of the efficient-SR challenges."""


def cost_of(contestant: NetworkContestant, options: EvalOptions, cache: ScoreCache) -> ModelCost:
    """Parameters, MACs and peak memory of a model at 256x256 LR, from the cache if it is there."""
    device = choose_device(options.engine.device)
    key = key_of(what="cost", network=contestant.digest, size=SIZE, device=str(device))
    stored = cache.get(key)
    if stored:
        return ModelCost(**{**stored, "size": SIZE, "model": contestant.label})
    found = model_cost(
        contestant.network, model=contestant.label, scale=contestant.scale, size=SIZE, device=device
    )
    cache.put(key, asdict(found))
    return replace(found, size=SIZE)

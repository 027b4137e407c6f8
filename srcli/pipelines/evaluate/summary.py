"""What is worked out once all pictures are scored: paired differences, published rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.evaluation.statistics import Difference, paired
from srcli.recipes.published import load_published, published_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from srcli.evaluation.scores import Evaluation
    from srcli.recipes.published import PublishedRow


def add_differences(result: Evaluation, *, resamples: int) -> None:
    """Compare every model with the first, picture by picture."""
    against = result.models[0]
    for scale, dataset in result.sizes:
        base = result.of(scale, dataset, against)
        for model in result.models[1:]:
            other = result.of(scale, dataset, model)
            for metric in result.metrics:
                count, mean, low, high = paired(
                    {score.picture: score.values[metric] for score in base},
                    {score.picture: score.values[metric] for score in other},
                    resamples=resamples,
                )
                if count:
                    result.differences.append(
                        Difference(
                            scale=scale,
                            dataset=dataset,
                            model=model,
                            against=against,
                            metric=metric,
                            pictures=count,
                            mean=mean,
                            low=low,
                            high=high,
                        )
                    )


def add_published(result: Evaluation, models: Collection[str] | None) -> None:
    """Add what papers printed for the sets and scales of this run.

    Args:
        result: Extended.
        models: Names of our models whose rows are wanted; None for all methods.
    """
    for scale, dataset in result.sizes:
        rows = published_rows(scale, dataset, models=models)
        result.published.extend(rows if models is None else _relevant(rows, models))


def _relevant(rows: Sequence[PublishedRow], models: Collection[str]) -> list[PublishedRow]:
    """Leave out rows of bicubic that belong to other papers, and rows that say the same again."""
    ours = {row.source for row in rows if row.model in models and row.model != "bicubic"}
    general = {row.source for row in load_published()} - {
        row.source for row in load_published() if row.model not in (None, "bicubic")
    }
    kept: dict[tuple[object, ...], PublishedRow] = {}
    for row in rows:
        if row.model != "bicubic" or row.source in ours | general:
            kept.setdefault((row.model, *sorted(row.values.items())), row)
    return list(kept.values())

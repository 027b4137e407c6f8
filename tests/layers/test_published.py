"""Published tensors under the names and in the forms of the networks here."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from srcli.layers.published import DIV2K_MEAN, ValueRange, fold_shifts


def shifts(eyes, means):
    names = ("sub_mean", "add_mean")
    found = {f"{n}.weight": each.view(3, 3, 1, 1) for n, each in zip(names, eyes, strict=True)}
    return found | {f"{n}.bias": each for n, each in zip(names, means, strict=True)}


def test_colour_shifts_that_were_trained_are_folded():
    torch.manual_seed(0)
    mean = 255 * torch.tensor(DIV2K_MEAN)
    found = {"a.weight": torch.rand(4, 3, 3, 3), "a.bias": torch.rand(4)}
    found |= {"b.weight": torch.rand(12, 4, 3, 3), "b.bias": torch.rand(12)}
    assert fold_shifts(found, {}, first="a", last="b") is found
    fixed = shifts([torch.eye(3)] * 2, [-mean, mean])
    assert fold_shifts(found, fixed, first="a", last="b") is found
    trained = shifts([torch.rand(3, 3), torch.rand(3, 3)], [-mean - 3, mean + 2])

    def enlarge(x, tensors):
        hidden = F.conv2d(x, tensors["a.weight"], tensors["a.bias"]).relu()
        return F.pixel_shuffle(F.conv2d(hidden, tensors["b.weight"], tensors["b.bias"]), 2)

    x, own = torch.rand(1, 3, 8, 9), ValueRange(mean=DIV2K_MEAN)
    theirs = enlarge(F.conv2d(x * 255, trained["sub_mean.weight"], trained["sub_mean.bias"]), found)
    theirs = F.conv2d(theirs, trained["add_mean.weight"], trained["add_mean.bias"]) / 255
    ours = own.undo(enlarge(own(x), fold_shifts(found, trained, first="a", last="b")))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)

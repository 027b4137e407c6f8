"""Names of authors for the networks of ``baselines/esrgan.py``."""

from __future__ import annotations

from functools import partial

from srcli.models.author_names.form import (
    AuthorFile,
    FoundLayers,
    Names,
    Options,
    Tensors,
    count_layers,
    count_outputs,
)


def rrdbnet_names(blocks: int) -> Names:
    """Return the names of BasicSR and Real-ESRGAN for a network of so many blocks."""
    names = {
        "conv_first": "head",
        "conv_body": "tail",
        "conv_hr": "full",
        "conv_last": "last",
    }
    names |= _dense_layers("body.{}.rdb{}.conv{}", blocks)
    for number in range(_MOST_DOUBLINGS):
        names[f"conv_up{number + 1}"] = f"up.{number}"
    return names


def _names_of_esrgan(blocks: int) -> Names:
    """Return the names of ESRGAN's own repository."""
    names = {
        "conv_first": "head",
        "trunk_conv": "tail",
        "HRconv": "full",
        "conv_last": "last",
    }
    names |= _dense_layers("RRDB_trunk.{}.RDB{}.conv{}", blocks)
    for number in range(_MOST_DOUBLINGS):
        names[f"upconv{number + 1}"] = f"up.{number}"
    return names


def _names_of_first_files(blocks: int, doublings: int) -> Names:
    """Return the names of ESRGAN's first files, whose layers are numbered.

    A doubling has three numbers, what follows two each.
    """
    names = {"model.0": "head", f"model.1.sub.{blocks}": "tail"}
    names |= _dense_layers("model.1.sub.{}.RDB{}.conv{}.0", blocks)
    for number in range(doublings):
        names[f"model.{3 * number + 3}"] = f"up.{number}"
    names[f"model.{3 * doublings + 2}"] = "full"
    names[f"model.{3 * doublings + 4}"] = "last"
    return names


_MOST_DOUBLINGS = 5
"""Of x8 behind a pixel-unshuffle by 4."""


def _dense_layers(theirs: str, blocks: int) -> Names:
    """Return names of the layers of dense blocks, three of five layers in each block.

    ``theirs`` has a place for each of the three numbers.
    """
    names = {}
    for block in range(blocks):
        for dense in range(3):
            for layer in range(5):
                name = theirs.format(block, dense + 1, layer + 1)
                names[name] = f"body.{block}.blocks.{dense}.layers.{layer}"
    return names


def _find_options(tensors: Tensors, head: str, dense: str) -> Options:
    """Find options by the first layer and the first one of each block, {} for its number."""
    return {
        "channels": count_outputs(tensors, head),
        "growth": count_outputs(tensors, dense.format(0)),
        "num_blocks": count_layers(tensors, dense),
    }


def _find_rrdbnet(tensors: Tensors) -> FoundLayers:
    options = _find_options(tensors, "conv_first", "body.{}.rdb1.conv1")
    return options, rrdbnet_names(options["num_blocks"])


def _find_rrdbnet_of_esrgan(tensors: Tensors) -> FoundLayers:
    options = _find_options(tensors, "conv_first", "RRDB_trunk.{}.RDB1.conv1")
    return options, _names_of_esrgan(options["num_blocks"])


def _find_rrdbnet_of_first_files(tensors: Tensors) -> FoundLayers:
    options = _find_options(tensors, "model.0", "model.1.sub.{}.RDB1.conv1.0")
    doublings = count_layers(tensors, "model.{}") - 4
    return options, _names_of_first_files(options["num_blocks"], doublings)


def _find_srvgg(tensors: Tensors) -> FoundLayers:
    """Read SRVGG's files, which have our names; PReLUs have weights and no biases."""
    convolutions = sum(key.endswith(".bias") for key in tensors)
    options = {"channels": count_outputs(tensors, "body.0"), "depth": convolutions - 2}
    return options, {}


_rrdbnet_file = partial(
    AuthorFile,
    model="rrdbnet",
    scales=(1, 2, 4, 8),
    either=(
        {},
        {"unshuffle": 1},
        {"unshuffle": 2},
        {"unshuffle": 4},
        {"picture_channels": 1},
        {"picture_channels": 1, "unshuffle": 1},
    ),
)
FILES = (
    _rrdbnet_file(
        files="files of ESRGAN and Real-ESRGAN, by their old and new names, and for ncnn: a "
        ".param with its .bin beside it.",
        layers=("conv_first", "body.0.rdb1.conv1", "conv_body"),
        find_layers=_find_rrdbnet,
    ),
    _rrdbnet_file(
        layers=("conv_first", "RRDB_trunk.0.RDB1.conv1", "trunk_conv"),
        find_layers=_find_rrdbnet_of_esrgan,
    ),
    _rrdbnet_file(
        layers=("model.0", "model.1.sub.0.RDB1.conv1.0"),
        find_layers=_find_rrdbnet_of_first_files,
    ),
    AuthorFile(
        model="srvgg",
        files="files of Real-ESRGAN: realesr-animevideov3.pth, realesr-general-x4v3.pth, ..., "
        "and for ncnn.",
        layers=("body.0", "body.1", "body.2"),
        find_layers=_find_srvgg,
        either=({}, {"picture_channels": 1}),
    ),
)

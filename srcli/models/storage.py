"""Read and write weights files of ours: safetensors that name their network."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

from srcli.errors import ModelError
from srcli.files import parse_text, write_whole
from srcli.models.weights import StoredWeights, WeightsInfo

if TYPE_CHECKING:
    from torch import Tensor

    Tensors = dict[str, Tensor]

FORMAT = "1"


def save_weights(
    path: Path, tensors: Mapping[str, Tensor], info: WeightsInfo, *, half: bool = False
) -> None:
    """Write weights atomically, as ``.safetensors``; with ``half`` as float16."""
    from safetensors.torch import save

    network = json.dumps(dict(info.network), sort_keys=True)
    stated = {"srx_format": FORMAT, "model": info.model, "scale": str(info.scale)}
    stored = {}
    for key, value in tensors.items():
        if half and value.is_floating_point():
            value = value.half()
        stored[key] = value.detach().cpu().contiguous()
    content = save(stored, metadata={**stated, "network": network, **info.notes})
    # The writer of safetensors shuffles metadata: sorted, equal weights are equal
    # files.
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    text = json.dumps(
        header, sort_keys=True, ensure_ascii=False, separators=(",", ":")
    ).encode()
    text += b" " * (-len(text) % 8)  # the numbers behind it stay aligned
    write_whole(path, len(text).to_bytes(8, "little") + text + content[start:])


def read_weights(path: Path, expected: Collection[str] = ()) -> StoredWeights:
    """Read the tensors of a weights file, and its metadata if it is ours.

    Files of other software are read by ``srcli.models.checkpoints``, which says
    what of them. A table whose names are just the ``expected`` ones is taken as it is.
    ModelError if the file is damaged, of another kind, or lacks tensors.
    """
    if not path.exists():
        raise ModelError(f"{path}: no such weights file")
    if not path.is_file():
        raise ModelError(f"{path}: not a file")
    with path.open("rb") as stream:
        # Of .safetensors, a length and JSON, whatever it is called.
        start = stream.read(9)
    layers = path.with_suffix(".param")
    if path.suffix.lower() == ".bin" and layers.is_file():
        raise ModelError(
            f"{path}: holds the numbers of a network of ncnn alone; give {layers}"
        )
    if path.suffix.lower() == ".safetensors" or start[8:] == b"{":
        metadata: Mapping[str, str] = {}
        tensors: dict[str, Tensor] | None = None
        with suppress(Exception), safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            if "srx_format" in metadata:
                tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
        if tensors is not None:
            return StoredWeights(tensors, _parse(path, metadata))
    from srcli.models.checkpoints import read_checkpoint

    return read_checkpoint(path, expected)


def _parse(path: Path, metadata: Mapping[str, str]) -> WeightsInfo:
    """Return the metadata of a file of ours; ModelError for a newer format or damage."""
    notes = dict(metadata)
    written = notes.pop("srx_format")
    if written != FORMAT:
        raise ModelError(
            f"{path}: written by a newer srx (format {written}); update srx"
        )
    try:
        options = parse_text(notes.pop("network"))
        for name, value in options.items():
            if isinstance(value, list):
                options[name] = tuple(value)
        return WeightsInfo(
            model=notes.pop("model"),
            scale=int(notes.pop("scale")),
            network=options,
            notes=notes,
        )
    except (KeyError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: metadata cannot be read ({error})") from error

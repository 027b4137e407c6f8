"""What is compared: networks that run here, and folders of pictures that others made."""

from __future__ import annotations

import hashlib
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from srcli.errors import DataError, UsageError
from srcli.evaluation.pairs import Pair, read_picture
from srcli.evaluation.sets import list_pictures
from srcli.evaluation.stems import match
from srcli.inference.colour import on_given_luma
from srcli.inference.engines import choose_tiling, enlarge_array, make_engine
from srcli.models import MODELS, entry_of
from srcli.models.weights import load_model, network_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from srcli.evaluation.chains import Chain
    from srcli.inference.engine import TorchEngine
    from srcli.pipelines.evaluate.options import EvalOptions

    Array = NDArray[Any]


class Contestant(Protocol):
    """Something that gives an SR picture for an LR picture."""

    label: str

    def identity(self, pair: Pair) -> str:
        """Digest of what decides its output for a picture, beside the picture."""

    def enlarge(self, pair: Pair) -> tuple[Array, float | None]:
        """Return (H, W, 3) uint8 of the HR picture's size, and the seconds it took.

        Raises:
            SrxError: If it has no such picture.
        """


class NetworkContestant:
    """A model at one scale.

    Args:
        model: A name or a weights file.
        label: What tables call it.
        scale: The factor.
        chain: How pictures reach it.
        options: Device, precision, tiles.

    Raises:
        ModelError: If there is no such model at this scale.
        UsageError: If the chain is not for networks that take RGB.
    """

    def __init__(
        self,
        model: str,
        label: str,
        scale: int,
        chain: Chain,
        options: EvalOptions,
    ) -> None:
        self.label = label
        self.scale = scale
        self.network = load_model(model, scale)
        learns = next(self.network.parameters(), None) is not None
        if not chain.takes_any_model and learns and self.network.colour != "y":
            raise UsageError(
                f"--chain {chain.name} feeds Y alone, and {label} takes RGB; "
                "it is for bicubic and for networks on Y"
            )
        self._model = model
        self._chain = chain
        self._options = options.engine_options
        self._tile = options.tile

    @property
    def network_name(self) -> str:
        """Name of the network in the table of models, whatever file its weights come from."""
        named = entry_of(self.network)
        assert named is not None, "loaded by the table, or by a file that names its network"
        return named[0]

    @cached_property
    def digest(self) -> str:
        """Digest of the network, its scale, settings and weights."""
        return network_digest(self.network)

    def identity(self, pair: Pair) -> str:
        """Weights, number format, device and tiling."""
        own = self._options
        device = self._engine.device.type
        ways = f"tta={own.tta} back={own.back_project} tile={self._tile}"
        return f"{self.digest} {own.precision} {device} {ways}"

    def enlarge(self, pair: Pair) -> tuple[Array, float | None]:
        """Run the network."""
        grid = None
        if self._tile is not None:
            tiling = choose_tiling(self._model, self.network, self._tile)
            grid = tiling.grid(*pair.lr.shape[:2])
        given = self._chain.given(pair.lr, gray=pair.gray)
        start = time.perf_counter()
        output = enlarge_array(self._engine, given, grid)
        seconds = time.perf_counter() - start
        return self._chain.picture(output, gray=pair.gray), seconds

    @cached_property
    def _engine(self) -> TorchEngine:
        own = self.network if self._chain.takes_any_model else on_given_luma(self.network)
        return make_engine(own, self._options, whole_pictures=self._tile is None)


class FolderContestant:
    """Pictures that another program made, matched with the set's by their names.

    Args:
        folder: The SR pictures.
        label: What tables call them.
        scale: The factor, for messages.
        names: Of the set's pictures.
        chain: What of them is compared.

    Raises:
        DataError: If the folder is missing or empty.
    """

    def __init__(
        self, folder: Path, label: str, scale: int, names: Sequence[str], chain: Chain
    ) -> None:
        self.label = label
        self._chain = chain
        self.matched = match(names, list_pictures(folder), scale, what="SR")

    def identity(self, pair: Pair) -> str:
        """Content of the file."""
        path = self.matched.files.get(pair.name)
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest() if path else ""
        except OSError:
            return ""  # reading it as a picture will say why

    def enlarge(self, pair: Pair) -> tuple[Array, float | None]:
        """Read the picture, cropped as HR was."""
        if pair.name not in self.matched.files:
            raise DataError(self.matched.missing[pair.name])
        path = self.matched.files[pair.name]
        pixels, _ = read_picture(path)
        size, full = pixels.shape[:2], pair.full_size
        if size == pair.hr.shape[:2] or size == full:
            own = pixels[: pair.hr.shape[0], : pair.hr.shape[1]]
            return self._chain.read(own, gray=pair.gray), None
        raise DataError(
            f"{path}: {size[1]}x{size[0]} does not fit its HR picture {pair.name}, "
            f"{full[1]}x{full[0]} (cropped {pair.hr.shape[1]}x{pair.hr.shape[0]})"
        )


def once(models: Sequence[str]) -> list[str]:
    """Each model once, in order; a file or folder by another spelling of its path is the same.

    Args:
        models: Names of the table, files and folders.
    """
    found: dict[object, str] = {}
    for model in models:
        path = Path(model)
        known = model in MODELS or not path.exists()
        found.setdefault(model if known else path.resolve(), model)
    return list(found.values())


def labels(names: Sequence[str]) -> list[str]:
    """Short names that stay different: files by their stem, with as many folders as it takes.

    Where even those are alike (``ddsr`` and ``ddsr.safetensors``), names stay as they are.

    Args:
        names: Model names and paths.
    """
    paths = [Path(name) for name in names]
    for depth in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        found = [_short(path, depth) for path in paths]
        if len(set(found)) == len(set(names)):
            return found
    return list(names)


def _short(path: Path, depth: int) -> str:
    plain = (
        path.with_suffix("") if path.suffix in {".safetensors", ".pth", ".pt", ".ckpt"} else path
    )
    return "/".join(plain.parts[-depth:])

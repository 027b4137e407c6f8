"""Digests of everything that decides a result: code, training pictures, sets, settings."""

from __future__ import annotations

import ast
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.data.pictures import DAMAGE, Archives
from srcli.losses import LOSSES
from srcli.models import find_entry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from srcli.data.held_out import Split
    from srcli.data.pictures import PictureRef
    from srcli.evaluation.sets import PictureSet
    from srcli.recipes.training import TrainRecipe

PACKAGE = Path(__file__).resolve().parents[3]
TRAINING = (
    "srcli.data.patches",
    "srcli.imaging.resize",
    "srcli.training.budget",
    "srcli.training.ema",
    "srcli.training.loop",
    "srcli.training.numerics",
    "srcli.training.optimizers",
    "srcli.training.schedule",
    "srcli.training.supervised",
)
"""What decides, beside network and losses, which weights a training comes to."""
DEGRADED = ("srcli.data.degraded_patches", "srcli.data.degrading", "srcli.imaging.degrading")
ADVERSARIAL = (
    "srcli.losses.adversarial",
    "srcli.models.discriminators",
    "srcli.training.adversarial",
)
PARTS = ("srcli.layers.", "srcli.imaging.")
"""Modules that networks are built from."""


def key_of(**parts: object) -> str:
    """Name a result by everything that decides it; 32 hexadecimal digits."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def training_code(recipe: TrainRecipe) -> str:
    """Digest of the code of a network, of the layers it is built from and of what trains it.

    Comments, docstrings and layout do not count: they change no weight.
    """
    modules = {term.name: LOSSES.get(term.name, "") for s in recipe.stages for term in s.losses}
    wanted = [*TRAINING, *(target.partition(":")[0] for target in modules.values() if target)]
    if any(stage.optimizer.kind == "muon" for stage in recipe.stages):
        wanted.append("srcli.training.muon")
    if not recipe.degradation.is_clean:
        wanted += DEGRADED
    if any(stage.distillation is not None for stage in recipe.stages):
        wanted.append("srcli.training.distillation")
    if any(stage.attention_weight for stage in recipe.stages):
        wanted.append("srcli.losses.attention")
    if any(stage.adversarial is not None for stage in recipe.stages):
        wanted += ADVERSARIAL
    files = {file for module in wanted for file in _with_parts(_file_of(module))}
    return _digest_of(files | network_files(recipe.model))


def network_code(model: str) -> str:
    """Digest of the code of a network and of the layers it is built from."""
    return _digest_of(network_files(model))


def network_files(model: str) -> set[Path]:
    """Return the sources of a network: its module, and the layers that it imports.

    Raises:
        ModelError: If there is no such network.
    """
    module = find_entry(model).target.partition(":")[0]
    return _with_parts(_file_of(module))


def data_digest(split: Split) -> str:
    """Digest of the encoded pictures to train on and to validate on, in their order.

    A file that cannot be read counts by its name: the training will leave it out.
    """
    digest = hashlib.sha256()
    with Archives() as archives:
        for part in (split.train, split.held_out):
            digest.update(f"{len(part)}/".encode())
            for ref in part:
                digest.update(f"{ref.name}/".encode("utf-8", "surrogateescape"))
                digest.update(_content(archives, ref))
    return digest.hexdigest()[:32]


def set_digest(pictures: PictureSet) -> str:
    """Digest of the files of an evaluation set, LR included where the set brings it."""
    digest = hashlib.sha256()
    for item in pictures.items:
        digest.update(f"{item.name}/".encode("utf-8", "surrogateescape"))
        for path in (item.hr, item.lr):
            try:
                content = path.read_bytes() if path is not None else b""
            except OSError:
                content = b""  # measuring will say why
            digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:32]


def _content(archives: Archives, ref: PictureRef) -> bytes:
    try:
        return hashlib.sha256(archives.read(ref)).digest()
    except (*DAMAGE, KeyError):
        return b"unreadable"


def _digest_of(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.relative_to(PACKAGE).as_posix().encode())
        digest.update(_meaning(file).encode())
    return digest.hexdigest()[:32]


@cache
def _meaning(file: Path) -> str:
    """Return what the code of a file does, without what it says of itself."""
    return meaning(file.read_text(encoding="utf-8"))


def meaning(source: str) -> str:
    """Return Python code as a text that stays the same when only comments and layout change."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):  # docstrings, of attributes too
            kept = [line for line in body if not _is_text(line)]
            node.body = kept  # type: ignore[attr-defined]  # every node with a list of lines
    return ast.dump(tree)


def _is_text(line: object) -> bool:
    return (
        isinstance(line, ast.Expr)
        and isinstance(line.value, ast.Constant)
        and isinstance(line.value.value, str)
    )


def _with_parts(file: Path) -> set[Path]:
    found = {file}
    waiting = [file]
    while waiting:
        for module in _imports(waiting.pop()):
            path = _file_of(module)
            if module.startswith(PARTS) and path not in found:
                found.add(path)
                waiting.append(path)
    return found


@cache
def _imports(file: Path) -> list[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module is not None
    ]


def _file_of(module: str) -> Path:
    return PACKAGE / f"{module.replace('.', '/')}.py"

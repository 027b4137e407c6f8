"""Search folders, pair inputs with outputs, and refuse collisions before any work.

What a search passes over is told, by the names in ``searching.toml``; paths are compared
as the system does.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import tomllib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import SrxError, UsageError, as_failure_of, did_you_mean
from srcli.files import open_input, shipped_text
from srcli.imaging.files.formats import (
    FORMATS,
    FRAME_FORMATS,
    FRAME_TABLE_SUFFIX,
    INDIRECT_SUFFIXES,
    RASTER_SUFFIXES,
    READABLE_SUFFIXES,
    VIDEO_EXTRA,
    VIDEO_SUFFIXES,
    can_read_videos,
    format_of_content,
    format_of_suffix,
    is_video,
)
from srcli.imaging.opening import open_picture
from srcli.imaging.rasters.dataset_names import (
    DatasetName,
    as_input,
    is_remote,
    name_of_folder,
    product_header,
)
from srcli.pipelines.upscale.reporter import Item, Reporter

if TYPE_CHECKING:
    from srcli.imaging.rasters.stac_assets import StacAsset
    from srcli.pipelines.upscale.options import Settled


_TABLE = tomllib.loads(shipped_text("searching.toml", "srcli.pipelines.upscale"))
INPUT_SUFFIXES = (
    READABLE_SUFFIXES | VIDEO_SUFFIXES | RASTER_SUFFIXES - INDIRECT_SUFFIXES
) - {".ts", ".mod"}
"""Lower-case suffixes of the files that are upscaled."""
UNREADABLE_SUFFIXES = frozenset(_TABLE["suffixes"]["unreadable"])
NAMED_ONLY_SUFFIXES = frozenset(_TABLE["suffixes"]["named_only"])
_KNOWN_SUFFIXES = (
    INPUT_SUFFIXES | INDIRECT_SUFFIXES | UNREADABLE_SUFFIXES | NAMED_ONLY_SUFFIXES
)
_HEAD_BYTES = 64
_SUFFIX_PATTERN = re.compile(r"\.[a-z][a-z0-9]{1,4}")


def pair_inputs(
    inputs: Sequence[Path], output: Path, options: Settled, reporter: Reporter
) -> tuple[list[Item], set[str]]:
    """Pair every input picture with its output.

    Inputs are pictures, folders and names as for ``as_input``, on the network if that
    is allowed; the output is a folder, or a file name for one picture. What cannot be
    done is reported.

    Returns:
        The pairs, and the real paths of all outputs.

    Raises:
        UsageError: If inputs and output do not fit each other, or there is no picture.
    """
    forget_real_folders()
    _check_output(inputs, output, options)
    sources, assets = _expand_stac_items(inputs, output, reporter)
    paths = []
    for path in sources:
        reason = _find_obstacle(path, remote=options.allow_remote)
        if reason:
            reporter.fail(Item(source=path, target=output, format=""), reason)
        else:
            paths.append(path)
    items = []
    to_folder = is_folder(output, options)
    if _is_one_to_one(sources, paths, output) and not to_folder:
        items = [_pair_with_file(paths[0], output, options)]
    elif paths and (not to_folder or os.path.isfile(output)):  # noqa: PTH113
        raise UsageError(
            f"{output}: names a file; folders or many inputs need a folder as output"
        )
    else:
        for path in paths:
            if path.is_dir():
                search = FolderSearch(path, output, options, reporter)
                for file, folder in search.pictures():
                    items.append(
                        pair_in_folder(file, folder, options, from_folder=True)
                    )
            else:
                _refuse_format_of_frames(path, options)
                items.append(pair_in_folder(path, output, options))
    if options.rate is not None and not all(item.is_film_of_frames for item in items):
        raise UsageError(
            "--rate is that of a film made from a folder of numbered frames, such as "
            "srx upscale frames/ film.mp4 --rate 24; drop it"
        )
    items = [replace(item, asset=assets.get(str(item.source))) for item in items]
    if not items and not reporter.files and not reporter.may_be_idle:
        raise UsageError(_explain_no_pictures(paths, options))
    return _resolve_name_clashes(items, options, reporter)


def _is_one_to_one(
    sources: Sequence[Path], paths: Sequence[Path], output: Path
) -> bool:
    """Tell if one file becomes one, or a folder of numbered frames a film."""
    if len(sources) > 1 or not paths:
        return False
    file_format = format_of_suffix(output.suffix)
    is_film = file_format is not None and FORMATS[file_format].video
    return is_film or not paths[0].is_dir()


def _refuse_format_of_frames(path: Path, options: Settled) -> None:
    """Refuse a video where the format asked for holds neither it nor its frames."""
    name = options.format
    if name in ("auto", *FRAME_FORMATS) or FORMATS[name].video or not is_video(path):
        return
    raise UsageError(
        f"{path}: is a video, whose frames can become {', '.join(FRAME_FORMATS)}, not {name}; "
        "give another --format"
    )


def _expand_stac_items(
    inputs: Sequence[Path], output: Path, reporter: Reporter
) -> tuple[list[Path], dict[str, StacAsset]]:
    """Return the inputs with the rasters of STAC items in place of the items.

    Returned with them are the assets of these items by the names of their rasters.
    """
    sources = []
    assets_by_name: dict[str, StacAsset] = {}
    for path in map(as_input, inputs):
        if path.suffix.lower() not in (".json", ".geojson"):
            sources.append(path)
            continue
        from srcli.imaging.rasters.stac_assets import find_assets

        with reporter.guard(Item(source=path, target=output, format="")):
            assets = find_assets(path)
            sources += [asset.raster for asset in assets] or [path]
            assets_by_name |= {str(asset.raster): asset for asset in assets}
    return sources, assets_by_name


def _pair_with_file(source: Path, output: Path, options: Settled) -> Item:
    """Pair an input with an output file that the user has named."""
    file_format = format_of_suffix(output.suffix) or ""
    if options.format not in ("auto", file_format):
        raise UsageError(
            f"{output}: its extension contradicts --format {options.format}"
        )
    if file_format and not _can_become(source, file_format):
        kind = "video" if FORMATS[file_format].video else "picture"
        if is_video(source) and file_format in FRAME_FORMATS:
            raise UsageError(
                f"{output}: names one picture, and {source} has many; give a folder for "
                f"them: -f {file_format} {output.stem}{os.sep}"
            )
        raise UsageError(f"{output}: is the name of a {kind}, which {source} is not")
    target = output.with_name(f"{output.stem}{options.suffix}{output.suffix}")
    return Item(source=source, target=target, format=file_format)


def _can_become(source: Path, file_format: str) -> bool:
    """Return True if an input can become a format: videos and animations can become videos."""
    if FORMATS[file_format].video == is_video(source):
        return True
    if source.is_dir():
        return FORMATS[file_format].video
    if is_video(source) or isinstance(source, DatasetName):
        return False
    return _is_animation(source)


def _is_animation(source: Path) -> bool:
    """Tell if a picture moves; not if it cannot be read, of which reading gives the reason."""
    with suppress(SrxError), as_failure_of(source):
        return open_picture(source, confined=True).is_animation
    return False


def _explain_no_pictures(folders: Sequence[Path], options: Settled) -> str:
    """Return why no pictures were found: there are none, or they are in subfolders."""
    reason = f"no pictures in {', '.join(map(str, folders))}"
    for folder in folders:
        for path in sorted(folder.iterdir()):
            suffix = path.suffix.lower()
            is_known = suffix not in VIDEO_SUFFIXES or is_video(path)
            if suffix in NAMED_ONLY_SUFFIXES and is_known and path.is_file():
                return f"{reason} ({path}: name it itself to enlarge what it holds)"
    if not options.recursive:
        for folder in folders:
            if any(path.name[0] != "." and path.is_dir() for path in folder.iterdir()):
                return f"{reason} itself; add -r to search its subfolders"
    return reason


def _resolve_name_clashes(
    items: Iterable[Item], options: Settled, reporter: Reporter
) -> tuple[list[Item], set[str]]:
    """Rename outputs of the same name by the extensions of their inputs: ``a_jpg.png``.

    Items whose outputs would still replace an input or each other are reported as
    failed. Returned are the other items, and the real paths of all outputs.
    """
    # the same file named twice is one file
    items = {
        (real_path(item.source), str(item.target)): item for item in items
    }.values()
    renamed = {}
    for group in _group_by_output(items).values():
        if len({item.source.suffix.lower() for item in group}) > 1:
            for item in group:
                renamed[item] = name_by_extension(item, options.suffix)
    groups = _group_by_output(renamed.get(item, item) for item in items)
    if renamed:
        example = min(item.target for item in renamed.values()).name
        reporter.note(
            f"{len(renamed)} outputs are named with the extensions of their inputs, such as "
            f"{example}, as they would have the same names otherwise"
        )
    sources = {real_path(item.source) for item in items}
    replaced = 0
    settled = []
    for target, group in groups.items():
        for index, item in enumerate(group):
            itself = options.overwrite and target == real_path(item.source)
            if target in sources and not itself:
                reason = (
                    f"{item.target}: is itself an input and would be overwritten; "
                    "give another output folder or --suffix _x4"
                )
            elif len(group) > 1:
                rival = group[1] if index == 0 else group[0]
                reason = (
                    f"{item.source} and {rival.source} would both become {item.target}; "
                    "upscale them into different folders, or give another --format"
                )
            else:
                settled.append(item)
                replaced += itself
                continue
            reporter.fail(item, reason)
    if replaced:
        pictures = "1 picture is" if replaced == 1 else f"{replaced} pictures are"
        reporter.progress.message(
            f"{pictures} replaced by the enlargement: run this once only, not again "
            "after an interruption"
        )
    return settled, {*groups}


def is_folder(output: Path, options: Settled) -> bool:
    """Return True if an output is a folder, or will be one: its name has no picture's extension."""
    if options.into_folder:
        return True
    # os.path instead of pathlib: a name that is too long is no folder, and no error yet
    return os.path.isdir(output) or format_of_suffix(output.suffix) is None  # noqa: PTH112


def pair_in_folder(
    source: Path, folder: Path, options: Settled, *, from_folder: bool = False
) -> Item:
    """Pair an input with an output in a folder, which has its name and the right extension."""
    input_format = format_of_suffix(source.suffix)
    if isinstance(source, DatasetName) and input_format not in ("tif", "png", "jpg"):
        input_format = None  # photographs in archives are read by GDAL, as rasters
    file_format = options.format
    if file_format in FRAME_FORMATS and not from_folder and is_video(source):
        table = folder / f"{source.stem}{options.suffix}{FRAME_TABLE_SUFFIX}"
        return Item(source=source, target=table, format=file_format)
    is_asked = file_format != "auto" and FORMATS[file_format].video == is_video(source)
    if not is_asked and file_format != "auto" and not from_folder:
        is_asked = _can_become(source, file_format)
    if not is_asked:  # --format jpg leaves the videos of a folder alone
        if input_format == "gif" and not _is_animation(source):
            # of 256 colours, which the enlargement of a photograph has not
            input_format = None
        file_format = input_format or _choose_format(source)
    extension = source.suffix if file_format == input_format else f".{file_format}"
    target = folder / f"{source.stem}{options.suffix}{extension}"
    return Item(
        source=source, target=target, format=file_format, from_folder=from_folder
    )


def name_by_extension(item: Item, suffix: str) -> Item:
    """Return an item whose output is named with the extension of its input: ``a_jpg.png``."""
    extension = item.source.suffix.lower().lstrip(".")
    name = f"{item.source.stem}_{extension}{suffix}{item.target.suffix}"
    return replace(item, target=item.target.with_name(name))


def _find_obstacle(path: Path, *, remote: bool) -> str:
    """Return why an input cannot be opened; empty if it exists."""
    reason = f"{path}: no such file or folder"
    if not isinstance(path, DatasetName):
        try:
            return "" if path.exists() else reason
        except OSError as error:
            return f"{path}: cannot be looked at ({error.strerror})"
    if is_remote(str(path)):
        advice = "it is on the network: download it, or give --allow-remote"
        return "" if remote else f"{reason}; {advice}"
    return "" if path.container else reason


def _check_output(inputs: Sequence[Path], output: Path, options: Settled) -> None:
    """Refuse an output that is no file which srx writes, or whose extension is mistyped.

    Where a folder or several inputs need one, a name such as ``photos.new`` is that of
    a folder.
    """
    name = as_input(output)
    if isinstance(name, DatasetName) and name.gdal.startswith("/vsi"):
        raise UsageError(
            f"{output}: results are written to disk; give a file or a folder"
        )
    suffix = output.suffix.lower()
    if options.into_folder or os.path.isdir(output):  # noqa: PTH112
        return
    if format_of_suffix(suffix) is not None:
        return
    hint = ""
    if suffix not in _KNOWN_SUFFIXES.union(_TABLE["suffixes"]["no_output"]):
        if _SUFFIX_PATTERN.fullmatch(suffix) is None:
            return
        hint = did_you_mean(suffix, (f".{name}" for name in (*FORMATS, "jpeg", "tiff")))
        if not hint and (len(inputs) > 1 or os.path.isdir(inputs[0])):  # noqa: PTH112
            return
    raise UsageError(
        f"{output}: {suffix} is not written here{hint}; give {', '.join(FORMATS)} (of rasters tif, "
        f"png, jpg or mbtiles), or a folder, whose name may end in {suffix}{os.sep}"
    )


def _choose_format(source: Path) -> str:
    """Return the output format for an input whose suffix is not one of ``FORMATS``."""
    suffix = source.suffix.lower()
    if isinstance(source, DatasetName) or suffix in RASTER_SUFFIXES:
        return "tif"
    if suffix in READABLE_SUFFIXES:
        return "png"
    if is_video(source):
        return str(_TABLE["video_outputs"].get(suffix, "mkv"))
    try:
        with open_input(source) as stream:
            content = format_of_content(stream.read(64))
    except OSError:
        return "png"  # reading it gives the reason
    if content is None:
        return "tif"
    return content if content in FORMATS and content != "gif" else "png"


def _group_by_output(items: Iterable[Item]) -> dict[str, list[Item]]:
    groups: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[real_path(item.target)].append(item)
    return groups


class FolderSearch:
    """A search of a folder for pictures, in the order of names.

    Left out are hidden files and folders, special files (pipes, devices), everything
    inside the output folder, earlier results, links to folders, which may lead in
    circles, mosaics, Sentinel products, whose pictures belong together, folders of
    other programs, and what the options exclude.
    """

    def __init__(
        self, folder: Path, output: Path, options: Settled, reporter: Reporter
    ) -> None:
        self.folder = folder
        self.output = output
        self.options = options
        self.reporter = reporter
        self._message = reporter.note
        self._output_folder = real_path(output)
        if is_within(real_path(folder), self._output_folder):
            self._output_folder = "\0"  # is no path, so that nothing lies in it
        self._result_count = 0
        self._excluded_count = 0
        self._unreadable = Counter[str]()
        self._named_only = Counter[str]()
        self._program_folders = Counter[str]()

    def pictures(self) -> Iterator[tuple[Path, Path]]:
        """Yield the pictures, each with the folder of its output; then tell what was left out."""
        suffix = self.options.suffix
        for parent, folders, files in os.walk(self.folder, onerror=self._cannot_enter):
            names = sorted(folders)
            folders.clear()
            for name in names:
                if self.options.recursive and self._is_searched(Path(parent, name)):
                    folders.append(name)
            target = self.output / Path(parent).relative_to(self.folder)
            has_results = suffix and real_path(target) == real_path(parent)
            for name in sorted(files):
                file = Path(parent, name)
                if name[0] == "." or not self._is_picture(file):
                    continue
                if has_results and file.stem.endswith(suffix):
                    self._result_count += 1
                else:
                    yield file, target
        self._tell_what_is_left_out()

    def _cannot_enter(self, error: OSError) -> None:
        reason = f"{error.filename}: cannot be looked into ({error.strerror})"
        item = Item(source=Path(error.filename), target=self.output, format="")
        self.reporter.fail(item, reason)

    def _is_searched(self, path: Path) -> bool:
        """Return True for a subfolder to search; count or tell of one that is left out."""
        if path.name[0] == "." or is_within(real_path(path), self._output_folder):
            return False
        if any(
            fnmatch(path.name.lower(), glob) for glob in _TABLE["folders_of_programs"]
        ):
            self._program_folders[path.name] += 1
            return False
        if os.path.islink(path):  # noqa: PTH114 - there may be very many
            self._message(f"{path}: a link to a folder, not followed")
            return False
        if product_header(path) is not None:
            self._message(f"{path}: a Sentinel product, left out; name it itself")
            return False
        if name_of_folder(path):
            self._message(
                f"{path}: a raster that is a folder, left out; name it itself"
            )
            return False
        return not self._is_excluded(path)

    def _is_picture(self, file: Path) -> bool:
        """Return True for a file to upscale; count or tell of a picture that is left out."""
        ending = file.suffix.lower()
        if ending not in _KNOWN_SUFFIXES or self._is_excluded(file):
            return False
        if ending in INDIRECT_SUFFIXES:
            self._message(f"{file}: made of other files, left out; name it itself")
            return False
        is_unread = is_video(file) and not can_read_videos()
        is_unread |= ending in VIDEO_SUFFIXES and not is_video(file)  # it is a text
        if ending in UNREADABLE_SUFFIXES or is_unread or _is_no_raster(file):
            self._unreadable[ending] += 1
            self.reporter.report_left_out(file, "no picture that srx reads")
            return False
        if ending in NAMED_ONLY_SUFFIXES:
            self._named_only[ending] += 1
            self.reporter.report_left_out(file, "read only where it is named itself")
            return False
        return _is_readable(file, self._output_folder)

    def _is_excluded(self, path: Path) -> bool:
        """Return True for what ``--exclude`` leaves out, and count it."""
        for glob in self.options.exclude:
            below = path.relative_to(self.folder).as_posix()
            if fnmatch(path.name, glob) or fnmatch(below, glob):
                self._excluded_count += 1
                return True
        return False

    def _tell_what_is_left_out(self) -> None:
        if self._result_count:
            self._message(
                f"{self._result_count} pictures whose names end in "
                f"{self.options.suffix!r} left out as results"
            )
        if self._excluded_count:
            self._message(
                f"{self._excluded_count} files and folders left out by --exclude"
            )
        if self._program_folders:
            self._message(
                "folders of other programs left out "
                f"({', '.join(sorted(self._program_folders))}); name one itself"
            )
        if self._unreadable:
            hint = ""
            if VIDEO_SUFFIXES & self._unreadable.keys() and not can_read_videos():
                hint = f"; {VIDEO_EXTRA} reads videos"
            counts = _list_counts(self._unreadable)
            self._message(f"files that srx does not read: {counts}{hint}")
        if self._named_only:
            self._message(
                f"files that are read only where named: {_list_counts(self._named_only)}"
            )


def _is_no_raster(file: Path) -> bool:
    """Tell if a file only has the suffix of a raster: a disk's ``.img``, a README.rst ..."""
    ending = file.suffix.lower()
    start = _TABLE["raster_heads"].get(ending)
    beside = _TABLE["beside_rasters"].get(ending, ())
    if not (start or beside):
        return False
    for suffix in beside:
        for name in (file.with_suffix(suffix), Path(f"{file}{suffix}")):
            if name.is_file() or name.with_suffix(suffix.upper()).is_file():
                return False
    with suppress(OSError), open_input(file) as stream:
        head = stream.read(_HEAD_BYTES)
        is_raster = start and re.match(start.encode(), head)
        return bool(head) and not is_raster
    return False  # reading it gives the reason


def _list_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {ending}" for ending, number in counts.most_common())


def _is_readable(path: Path, output_folder: str) -> bool:
    """Return True for a regular file that does not lead into the output folder.

    Also for a link that leads nowhere: reading it gives the reason. Reading a pipe would
    wait for ever.
    """
    with suppress(OSError):
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - there may be very many
            return False
    # os.path says no where pathlib raises: in folders without permission, for names too
    # long
    return not (os.path.islink(path) and is_within(real_path(path), output_folder))  # noqa: PTH114


def forget_real_folders() -> None:
    """Clear the cache of ``real_path``: links may have changed since the last run."""
    _real_folder.cache_clear()


@cache
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def real_path(path: Path | str) -> str:
    """Return a path without links, spelled in one way if the system ignores case or accents.

    macOS and Windows do not tell a.png from A.png, and macOS not the ways to write an
    accent; ß and ss are one name on macOS alone. A link that leads in a circle stays as
    it is.
    """
    # one look at the file, as there may be very many
    folder, name = os.path.split(path)
    if name in ("", ".", "..") or os.path.islink(path):  # noqa: PTH114
        real = os.path.realpath(path)
    else:
        real = os.path.join(_real_folder(folder), name)  # noqa: PTH118
    if sys.platform == "darwin":
        return unicodedata.normalize("NFD", real).casefold()
    if sys.platform == "win32":
        return real.lower()
    return real


def is_within(path: str, folder: str) -> bool:
    """Return True if a real path is that of a folder, or of something in it."""
    return path == folder or path.startswith(os.path.join(folder, ""))  # noqa: PTH118

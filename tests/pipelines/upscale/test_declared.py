"""An option is declared once: what outputs record, refusals and Python's arguments follow."""

from __future__ import annotations

import inspect
import json
import re

import pytest

import srcli
from srcli.cli.upscale import SHARED_OPTIONS, command
from srcli.errors import UsageError
from srcli.pipelines.upscale.asked import OPTIONS, Asked
from srcli.pipelines.upscale.declaring import Number, Words
from srcli.pipelines.upscale.options import settle
from tests.fixtures.commands import settled_by

TRIANGLE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
CHECKSUMS = """
--keep-dates                             |          |          | 06f8bee1
-m g-idrn-photo                          |          |          |
-m g-idrn-photo --strength 0.5           | c3332dc1 | c3332dc1 | c3332dc1
-m auto --strength 0.25                  |          |          | 2df9f08f
-m realesrgan-x4plus --strength 0.5      | 8adf2d60 | 8adf2d60 | c3332dc1
-m x.safetensors -s 2 --set network.groups=4 | e7322fba | e7322fba | e7322fba
-s 3                                     |          |          | c3332dc1
-s 8                                     | 29d0407f | 29d0407f | ad7d54a6
-s 2.5                                   | 9708edf8 | 9708edf8 | 9942110d
--size 3840x                             | 5021a135 | 5021a135 | bcdaa213
--long-edge 2048 --only-smaller          | 499874c8 | 499874c8 | a2177935
--fit x2160 -s 2                         | dd2e81f6 | dd2e81f6 | 7fb470d2
--quality 80                             | 0d72dbee | 0d72dbee | dd0bbdd0
--rate 30000/1001                        | 7d2694a5 | 7d2694a5 | 7bd96fea
--pages 2                                | a51328f0 | a51328f0 | a7a62123
--dpi scale                              | 7da7be38 | 7da7be38 | d04a746f
--bilevel                                | 153fdcef | 153fdcef | c44aa5cd
--dpi 300                                | 6f806a03 | 6f806a03 | 88bf6ba0
--tta                                    | 540c8b07 | 540c8b07 | d0857366
--back-project                           | d2d1b107 | d2d1b107 | 9df5a695
--back-project=area                      | 2b0b2ba4 | 2b0b2ba4 | 7472a73d
--denoise 0.5                            | 5af870f6 | 5af870f6 | 561d3af7
--wrap both                              | 8f592b70 | 8f592b70 | 8e4ddad2
--value-range 255                        | 8c85df23 | 8c85df23 | 8648f089
--keep-hidden                            | 42928e17 | 42928e17 | cb11dfbb
-f cog                                   | 7f9559da |          | d01534a5
--mosaic --bidx 1,2,3                    | 7392591f | 725937ea | 7285e802
-b 4 -b 3,2                              | 5c406ff2 |          | f8b392c7
--rgb 3,2,1                              | 8fe8ca24 |          | 4f555a37
--rgb none                               | 84f24114 |          | 1cd4ee4d
--range 0,3000                           | abfaad8c |          | c1fe4054
--range dtype                            | 114fa179 |          | 077fe4a7
--classes no                             | f90319f3 |          | e2d06b2a
--alpha yes                              | 725436e7 |          | c68ff6f8
--nodata nan                             | be59bc4c |          | 5b55b71a
--nodata 0,255                           | e3a6414e |          | 891a6925
-ot Float32                              | 9fed1877 |          | 526c95f9
--divide                                 | d86e7318 |          | bd9a7a3c
-srcwin 10 20 300 400                    | fe2b3683 |          | 58caec41
--bounds 1 -2 3 4.5                      | 4b65b4d8 |          | 7594092b
-projwin -1 4.5 3 2                      | 82e4527b |          | bc15ef88
-co TILED=YES -co NUM_THREADS=4          | 93919c3e |          | cd89dd11
--cutline CUTLINE                        | 3f70a0c8 |          | 331f910e
--fit 9x --quality 8 --tta --denoise 0.25 --wrap y | dce8ff70 | dce8ff70 | e2e02a0a
--bidx 3,2,1 --rgb 1,2,3 --nodata 0 -srcwin 0 0 9 9 --cog --tta | 09a7790d | 540c8b07 | b295d221
"""
"""Checksums of options, as version 0.1.0 has written them into rasters, into photographs,
and into rasters enlarged by g-idrn-photo."""
EXAMPLES = {
    "model": "rrlfn",
    "format": "png",
    "size": "90x",
    "rate": "24",
    "fit": "90x",
    "dpi": "300",
    "bands": "2,1",
    "rgb": "1,2,3",
    "values": "0,9",
    "nodata": "0",
    "dtype": "Float32",
    "creation": "COMPRESS=LZW",
    "cutline": "CUTLINE",
}
"""Values of options that no range or list of choices gives."""
NEED_OTHERS = {
    "only_smaller", "scale", "long_edge", "projwin", "keep_print_size", *SHARED_OPTIONS
}  # fmt: skip
"""Options that become another one, or stand elsewhere."""
OF_NO_PIXELS = """
scale long_edge only_smaller keep_print_size output recursive exclude format suffix watch overwrite
disk_check keep_dates strip_metadata strip_provenance projwin overviews stac resume
allow_remote tile overlap batch workers read_timeout device executor precision background
dry_run report verbose quiet
"""
"""Options of which outputs record nothing, whatever their value; each is decided on."""
JUDGED_ALONE = [declared for declared in OPTIONS if declared.field not in NEED_OTHERS]
OF_PIXELS = [declared for declared in OPTIONS if declared.changes_pixels]
OF_PYTHON = [declared for declared in OPTIONS if declared.python]
OF_RASTERS = [x for x in OPTIONS if x.inputs == "rasters"]
OF_PHOTOGRAPHS = [x for x in OPTIONS if x.inputs == "photographs"]


@pytest.fixture
def cutline(tmp_path):
    """A file of polygons."""
    path = tmp_path / "triangle.geojson"
    path.write_text(json.dumps(TRIANGLE))
    return str(path)


def words_for(declared, cutline):
    """A command line with one option, of another value than by default."""
    option = declared
    name = option.name
    if isinstance(declared.default, bool) or "/" in option.names[-1]:
        return [name]
    takes = option.takes
    value: object = EXAMPLES.get(declared.field, "some")
    if option.only:
        value = option.only
    elif isinstance(takes, Words):
        value = next(word for word in takes.choices if word != declared.default)
    elif isinstance(takes, Number) and takes.most == 1:
        value = 0.5
    elif isinstance(takes, Number):
        value = (takes.least or 0) + 7
    return [name, *[str(value).replace("CUTLINE", cutline)] * option.count]


def test_outputs_of_earlier_versions_stay_finished(cutline):
    changed = {}
    for row in CHECKSUMS.strip().splitlines():
        words, *checksums = [cell.strip() for cell in row.split("|")]
        options = settled_by(*words.replace("CUTLINE", cutline).split())
        now = [
            options.checksum(options.model),
            options.checksum(options.model, photograph=True),
            options.checksum("g-idrn-photo"),
        ]
        if now != checksums:
            changed[words] = now
    assert changed == {}


def test_every_option_changes_pixels_or_is_known_not_to():
    silent = {declared.field for declared in OPTIONS if not declared.changes_pixels}
    assert silent == {*OF_NO_PIXELS.split()}


def test_every_option_that_changes_pixels_has_known_checksums():
    words = {*CHECKSUMS.split()}
    for declared in OF_PIXELS:
        names = {*declared.names, f"--{declared.field.replace('_', '-')}"}
        names |= {"--set"} if declared.field == "network_settings" else set()
        assert names & words, declared.field


def test_outputs_are_made_again_for_another_value_where_pixels_change(cutline):
    usual = settled_by("-m", "g-idrn-photo").make_provenance()
    made_again = set()
    for declared in JUDGED_ALONE:
        words = words_for(declared, cutline)
        if declared.field != "model":
            words += ["-m", "g-idrn-photo"]
        if settled_by(*words).make_provenance() != usual:
            made_again.add(declared.field)
    judged = {declared.field for declared in JUDGED_ALONE}
    assert made_again == judged & {declared.field for declared in OF_PIXELS}


@pytest.mark.parametrize("photographs", OF_PHOTOGRAPHS, ids=lambda x: x.field)
def test_options_of_photographs_and_of_rasters_are_refused_together(
    photographs, cutline
):
    name = photographs.name
    for rasters in OF_RASTERS:
        words = [*words_for(photographs, cutline), *words_for(rasters, cutline)]
        refusal = f"^{name} is for photographs and {rasters.name} for rasters"
        with pytest.raises(UsageError, match=refusal):
            settled_by(*words)


def test_arguments_of_python_are_those_declared():
    arguments = dict(inspect.signature(srcli.upscale).parameters)
    text = str(inspect.getdoc(srcli.upscale)).partition("\nReturns:")[0]
    described = {*re.findall(r"^    (\w+): ", text, re.MULTILINE)}
    assert described == arguments.keys()
    del arguments["picture"], arguments["progress"]
    assert {x.python for x in OF_PYTHON} == arguments.keys()


def test_arguments_of_python_are_by_default_what_the_command_takes():
    parameters = inspect.signature(srcli.upscale).parameters
    in_python = {x.python: parameters[x.python].default for x in OF_PYTHON}
    in_python |= {"model": "auto", "nodata": "file"}
    in_python["back_project"] = in_python["back_project"] or ""
    assert in_python == {x.python: x.default for x in OF_PYTHON}


def test_the_command_has_every_declared_option():
    names = {entry.name for entry in command.params if entry.expose_value}
    assert names == {declared.field for declared in OPTIONS} | {"paths"}
    assert settle(Asked(model="g-idrn")).checksum("g-idrn") == ""

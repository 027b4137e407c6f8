"""Creation options: defaults, what the input had, what the user wants, what formats refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from srcli.errors import PictureError, UsageError
from srcli.imaging.rasters.creation import (
    OutputOptions,
    OutputShape,
    check_format,
    creation_options,
    is_false,
    is_lossy,
    nbits_limit,
    wants_overviews,
)

RGB = OutputShape(height=4000, width=6000, bands=3, dtype="uint8", rgb=True, alpha=False)


def rows(shape=RGB, compression=None, **creation):
    return creation_options(shape, OutputOptions(creation=creation), compression)


def test_a_photograph_gets_tiles_deflate_and_differences():
    assert rows() == {
        "COMPRESS": "DEFLATE",
        "INTERLEAVE": "PIXEL",
        "PHOTOMETRIC": "RGB",
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": "ALL_CPUS",
        "PREDICTOR": "2",
        "TILED": "YES",
        "BLOCKXSIZE": "512",
        "BLOCKYSIZE": "512",
    }


@pytest.mark.parametrize(
    ("had", "gets", "predictor"),
    [
        (None, "DEFLATE", "2"),
        ("LZW", "LZW", "2"),
        ("ZSTD", "ZSTD", "2"),
        ("LERC_ZSTD", "LERC_ZSTD", None),
        ("LZMA", "LZMA", None),
        ("PACKBITS", "DEFLATE", "2"),
        ("JPEG", "DEFLATE", "2"),
        ("WEBP", "DEFLATE", "2"),
    ],
)
def test_lossless_compression_is_kept_and_a_lossy_one_is_not(had, gets, predictor):
    options = rows(compression=had)
    assert (options["COMPRESS"], options.get("PREDICTOR")) == (gets, predictor)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_get_the_predictor_for_floats(dtype):
    assert rows(replace(RGB, dtype=dtype))["PREDICTOR"] == "3"


def test_the_user_wins():
    options = rows(compression="LZW", COMPRESS="zstd", PREDICTOR="1", BLOCKXSIZE="256")
    assert (options["COMPRESS"], options["PREDICTOR"]) == ("zstd", "1")
    assert (options["BLOCKXSIZE"], options["BLOCKYSIZE"]) == ("256", "512")


def test_jpeg_of_colours_is_ycbcr_and_of_others_not():
    assert rows(COMPRESS="JPEG")["PHOTOMETRIC"] == "YCBCR"
    assert rows(replace(RGB, rgb=False), COMPRESS="JPEG")["PHOTOMETRIC"] == "MINISBLACK"
    assert rows(COMPRESS="JPEG", INTERLEAVE="BAND")["PHOTOMETRIC"] == "RGB"
    assert "PREDICTOR" not in rows(COMPRESS="JPEG")


@pytest.mark.parametrize(
    ("width", "bands", "dtype", "side"),
    [(6000, 3, "uint8", "512"), (200_000, 3, "uint8", "256"), (20_000, 8, "float64", "256"),
     (40, 3, "uint8", "48"), (1, 1, "uint8", "16")],
)  # fmt: skip
def test_blocks_are_smaller_where_rows_are_long_or_the_picture_is_small(width, bands, dtype, side):
    shape = replace(RGB, width=width, height=min(width, 900), bands=bands, dtype=dtype)
    assert rows(shape)["BLOCKXSIZE"] == rows(shape)["BLOCKYSIZE"] == side


def test_strips_have_a_height_of_their_own():
    options = rows(TILED="NO")
    assert options["TILED"] == "NO"
    assert "BLOCKXSIZE" not in options
    assert int(options["BLOCKYSIZE"]) % 16 == 0


@pytest.mark.parametrize(
    "creation",
    [{"BIGTIFF": "maybe"}, {"BLOCKXSIZE": "wide"}, {"BLOCKYSIZE": "-16"},
     {"BLOCKXSIZE": "100"}, {"STREAMABLE_OUTPUT": "YES"}, {"COPY_SRC_OVERVIEWS": "YES"}],
)  # fmt: skip
def test_options_that_mean_nothing_here_are_refused(creation):
    with pytest.raises(UsageError, match=f"--co {next(iter(creation))}=") as error:
        rows(**creation)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (OutputOptions(format="png"), {"WRITE_METADATA_AS_TEXT": "YES"}),
        (OutputOptions(format="jpg"), {"QUALITY": "95"}),
        (OutputOptions(format="jpg", creation={"QUALITY": "80"}), {"QUALITY": "80"}),
    ],
)
def test_pictures_get_the_users_options(options, wanted):
    assert creation_options(RGB, options, None) == wanted


def test_a_cloud_optimized_copy_is_compressed_like_the_rest():
    options = creation_options(RGB, OutputOptions(cog=True, creation={"LEVEL": "9"}), "ZSTD")
    assert (options["COMPRESS"], options["PREDICTOR"], options["LEVEL"]) == ("ZSTD", "YES", "9")


@pytest.mark.parametrize(
    ("fmt", "change", "words"),
    [
        ("png", {"dtype": "float32"}, "uint8 or uint16 values, not float32"),
        ("jpg", {"dtype": "uint16"}, "uint8 values, not uint16"),
        ("png", {"bands": 4}, "1 or 3 bands, not 4"),
        ("jpg", {"bands": 2}, "1 or 3 bands, not 2"),
        ("jpg", {"width": 65_501}, "65,500 pixels a side, not 65501x4000"),
        ("png", {"height": 1_000_001}, "1,000,000 pixels a side"),
    ],
)
def test_formats_say_what_they_cannot_hold(fmt, change, words):
    with pytest.raises(PictureError, match=words) as error:
        check_format(Path("in.tif"), OutputOptions(format=fmt), replace(RGB, **change))
    assert str(error.value).startswith("in.tif: ")
    assert "--format tif" in str(error.value)


@pytest.mark.parametrize("bands", [4, 2])
def test_alpha_does_not_count_as_a_band(bands):
    shape = replace(RGB, bands=bands, alpha=True)
    assert check_format(Path("a.tif"), OutputOptions(format="png"), shape) == "png"


@pytest.mark.parametrize(
    "options",
    [OutputOptions(format="png", cog=True), OutputOptions(format="jpg", overviews=True)],
)  # fmt: skip
def test_options_that_contradict_each_other_are_refused(options):
    with pytest.raises(UsageError, match=options.format):
        check_format(Path("a.tif"), options, RGB)


def test_other_formats_are_refused_with_what_to_do():
    with pytest.raises(PictureError, match="not as webp; take --format tif"):
        check_format(Path("a.tif"), OutputOptions(format="webp"), RGB)


@pytest.mark.parametrize(("word", "no"), [("NO", True), ("off", True), ("0", True), ("YES", False)])
def test_gdals_words_for_no(word, no):
    assert is_false(word) is no


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, False),
        ({"overviews": True}, True),
        ({"cog": True}, True),
        ({"cog": True, "creation": {"OVERVIEWS": "none"}}, False),
        ({"cog": True, "creation": {"OVERVIEWS": "AUTO"}}, True),
    ],
)
def test_smaller_copies_are_built_where_they_are_wanted(options, wanted):
    assert wants_overviews(OutputOptions(**options)) == wanted


def test_deflate_and_lzw_keep_values_and_jpeg_does_not():
    kinds = {
        kind: is_lossy(OutputOptions(creation={"COMPRESS": kind}), "uint8")
        for kind in ("DEFLATE", "LZW", "JPEG", "WEBP")
    }
    assert kinds == {"DEFLATE": False, "LZW": False, "JPEG": True, "WEBP": True}


@pytest.mark.parametrize(
    ("creation", "dtype", "wanted"),
    [
        ({"NBITS": "16"}, "float32", True),
        ({"NBITS": "12"}, "uint16", False),
        ({"COMPRESS": "LERC_ZSTD", "MAX_Z_ERROR": "5"}, "uint8", True),
        ({"COMPRESS": "LERC", "MAX_Z_ERROR": "0.0"}, "uint8", False),
        ({"COMPRESS": "DEFLATE", "MAX_Z_ERROR": "5"}, "uint8", False),
        ({"DISCARD_LSB": "2,2,2"}, "uint8", True),
        ({"DISCARD_LSB": "0"}, "uint8", False),
        ({"COMPRESS": "JXL"}, "uint8", False),
        ({"COMPRESS": "JXL", "JXL_LOSSLESS": "NO"}, "uint8", True),
    ],
)
@pytest.mark.parametrize("cog", [False, True])
def test_options_that_round_values_are_lossy(creation, dtype, wanted, cog):
    assert is_lossy(OutputOptions(creation=creation, cog=cog), dtype) is wanted


@pytest.mark.parametrize(
    ("bits", "dtype", "largest"),
    [("4", "uint8", 15), ("12", "uint16", 4095), ("16", "uint16", None), ("12", "int16", None)],
)
def test_fewer_bits_cut_values(bits, dtype, largest):
    assert nbits_limit(OutputOptions(creation={"NBITS": bits}), dtype) == largest
    assert nbits_limit(OutputOptions(), dtype) is None


def test_one_word_for_all_resampling_of_a_cog_is_heard():
    options = OutputOptions(cog=True, creation={"RESAMPLING": "NEAREST"})
    assert "OVERVIEW_RESAMPLING" not in creation_options(RGB, options, None)
    assert creation_options(RGB, OutputOptions(cog=True), None)["OVERVIEW_RESAMPLING"] == "AVERAGE"

"""What items of STAC say of the bands of a result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fixtures.photographs import PLACE, noise, write_by_gdal

MEDIA_TYPE = "image/tiff; application=geotiff"
SPECTRUM: list[dict[str, Any]] = [
    {"name": "B02", "common_name": "blue", "center_wavelength": 0.49},
    {"name": "B04", "common_name": "red"},
    {"name": "B08", "common_name": "nir"},
]
EO = "https://stac-extensions.github.io/eo/"


@pytest.fixture
def spectral_item():
    """Write an item whose only raster has three bands, described in this form."""

    def write(version):
        write_by_gdal("a.tif", noise((24, 32, 3)).astype(np.uint16), **PLACE)
        asset: dict[str, Any] = {"href": "a.tif", "type": MEDIA_TYPE, "roles": ["data"]}
        extension = f"{EO}v1.1.0/schema.json"
        if version == "1.0.0":
            asset["eo:bands"] = SPECTRUM
        else:
            extension = f"{EO}v2.0.0/schema.json"
            renamed = []
            for band in SPECTRUM:
                named = {f"eo:{key}": value for key, value in band.items()}
                named["name"] = named.pop("eo:name")
                renamed.append({**named, "data_type": "uint16"})
            asset["bands"] = renamed
        item = {
            "type": "Feature", "stac_version": version, "id": "S2", "geometry": None,
            "stac_extensions": [extension], "links": [], "assets": {"all": asset},
            "properties": {"datetime": "2021-06-03T10:15:00Z"},
        }  # fmt: skip
        Path("item.json").write_text(json.dumps(item))

    return write


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", ["B02", "B04", "B08"]),
        ("-b 3,2", ["B08", "B04"]),
        ("-b 2", ["B04"]),
    ],
)
def test_an_item_names_the_bands_that_were_upscaled(
    item_of, spectral_item, version, options, expected
):
    spectral_item(version)
    item = item_of("item.json", *options.split())
    asset = item["assets"]["data"]
    by_name = {band["name"]: band for band in SPECTRUM}
    assert asset["eo:bands"] == [by_name[name] for name in expected]
    assert len(asset["raster:bands"]) == len(expected)
    assert [name for name in item["stac_extensions"] if name.startswith(EO)] == [
        f"{EO}v1.1.0/schema.json"
    ]


def test_bands_of_another_number_are_not_taken_over(item_of, spectral_item):
    spectral_item("1.0.0")
    write_by_gdal("a.tif", noise((24, 32, 4)).astype(np.uint16), **PLACE)
    assert "eo:bands" not in item_of("item.json")["assets"]["data"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("B02", "B04"), [{"name": "B02"}, {"name": "B04"}]),
        (("B02", None), None),
        (("B02", "B02"), None),
    ],
)
def test_names_of_bands_in_the_file_are_in_the_item(item_of, names, expected):
    def describe(file):
        file.descriptions = names

    pixels = noise((24, 32, 2)).astype(np.uint16)
    write_by_gdal("a.tif", pixels, then=describe, **PLACE)
    item = item_of("a.tif")
    assert item["assets"]["data"].get("eo:bands") == expected
    assert (f"{EO}v1.1.0/schema.json" in item["stac_extensions"]) == bool(expected)

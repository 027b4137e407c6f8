"""What a raster consists of: outputs are made again when a file beside it has changed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.shutil
import shapely

from tests.fixtures.photographs import PLACE, noise, write_by_gdal

AGAIN = "a file beside the input has changed since"
RUN = "-s 2 -m bicubic"
WORLD = "10\n0\n0\n-10\n{}\n5299995\n"


@pytest.fixture
def made(srx):
    """Upscale into ``out``; return what is printed."""

    def run(source, *options):
        result = srx("upscale", source, "out", RUN, *options, code=0)
        return " ".join((result.out + result.err).split())

    return run


def write_later(path, content):
    """Write a file that looks older than any output, as a copied one may."""
    data = content if isinstance(content, bytes) else content.encode()
    Path(path).write_bytes(data)
    os.utime(path, (1e9, 1e9))


def nodata_beside(value):
    band = f'<PAMRasterBand band="1"><NoDataValue>{value}</NoDataValue></PAMRasterBand>'
    return f"<PAMDataset>{band}</PAMDataset>"


def test_a_corrected_world_file_moves_the_output(made):
    write_by_gdal("a.tif", noise((24, 32)))
    write_later("a.tfw", WORLD.format(500005))
    made("a.tif")
    assert "1 skipped" in made("a.tif")
    write_later("a.tfw", WORLD.format(600005))
    assert AGAIN in made("a.tif")
    with rasterio.open("out/a.tif") as out:
        assert out.bounds.left == 600000
    assert "1 skipped" in made("a.tif")
    Path("a.tfw").unlink()
    assert AGAIN in made("a.tif")


def test_nodata_that_another_program_declares_counts_and_statistics_do_not(made):
    pixels = noise((24, 32))
    pixels[:8, :8] = 7
    write_by_gdal("a.tif", pixels, **PLACE)
    made("a.tif")
    shown = (
        '<PAMDataset><PAMRasterBand band="1"><Histograms><HistItem/></Histograms>'
        '<Metadata><MDI key="STATISTICS_MEAN">9</MDI></Metadata></PAMRasterBand>'
        "</PAMDataset>"
    )
    write_later("a.tif.aux.xml", shown)
    assert "1 skipped" in made("a.tif")
    write_later("a.tif.aux.xml", nodata_beside(7))
    assert AGAIN in made("a.tif")
    with rasterio.open("out/a.tif") as out:
        assert out.nodata == 7
    Path("a.tif.ovr").write_bytes(b"II*\0")
    Path("a.tif.ovr").unlink()
    assert "1 skipped" in made("a.tif")


def test_a_mask_a_header_and_a_sensor_model_count(made):
    write_by_gdal("a.tif", noise((24, 32)), **PLACE)
    made("a.tif")
    write_by_gdal("m.tif", np.full((24, 32), 255, np.uint8))
    rasterio.shutil.copy("m.tif", "a.tif.msk", driver="GTiff")
    os.utime("a.tif.msk", (1e9, 1e9))
    assert AGAIN in made("a.tif")

    rasterio.shutil.copy("m.tif", "e.dat", driver="ENVI")
    made("e.dat")
    header = Path("e.hdr").read_text()
    write_later("e.hdr", header.replace("}", "again}", 1))
    assert AGAIN in made("e.dat")


def test_a_photograph_has_no_companions(made):
    write_by_gdal("a.png", noise((24, 32)), driver="PNG")
    made("a.png")
    write_later("a.txt", "notes")
    tags = "<Metadata><MDI key='a'>b</MDI></Metadata>"
    write_later("a.png.aux.xml", f"<PAMDataset>{tags}</PAMDataset>")
    assert "1 skipped" in made("a.png")
    write_later("a.png.aux.xml", nodata_beside(7))  # which makes it a raster
    assert "made again" in made("a.png")
    assert "1 skipped" in made("a.png")


def test_sheets_of_a_mosaic_follow_their_world_files(made):
    Path("sheets").mkdir()
    for number in range(2):
        write_by_gdal(f"sheets/{number}.png", noise((16, 16)), driver="PNG")
        write_later(f"sheets/{number}.pgw", WORLD.format(500005 + 160 * number))
    made("sheets", "--mosaic")
    assert "2 skipped" in made("sheets", "--mosaic")
    for number in range(2):
        write_later(f"sheets/{number}.pgw", WORLD.format(600005 + 160 * number))
    assert "made again" in made("sheets", "--mosaic")
    with rasterio.open("out/0.png") as out:
        assert out.bounds.left == 600000


def write_tiles(folder="tiles"):
    Path(folder).mkdir(exist_ok=True)
    boxes = []
    for number in range(2):
        place = rasterio.transform.from_origin(500000 + 160 * number, 5300000, 10, 10)
        file = f"{folder}/t{number}.tif"
        write_by_gdal(file, noise((16, 16)), crs="EPSG:32632", transform=place)
        with rasterio.open(file) as tile:
            boxes.append(shapely.to_wkb(shapely.box(*tile.bounds)))
    return np.array(boxes, dtype=object)


def write_index(path, driver, names, boxes):
    pyogrio.raw.write(
        path,
        boxes,
        [np.array(names, dtype=object), np.array([1, 2])],
        ["location", "number"],
        geometry_type="Polygon",
        crs="EPSG:32632",
        driver=driver,
    )


def geopackage():
    write_index("tiles/i.gti.gpkg", "GPKG", ["t0.tif", "t1.tif"], write_tiles())
    return "tiles/i.gti.gpkg"


def shapefile():
    names = [str(Path(f"tiles/t{number}.tif").absolute()) for number in range(2)]
    write_index("i.shp", "ESRI Shapefile", names, write_tiles())
    return "GTI:i.shp"


def description():
    index = Path(geopackage()).absolute()
    name = f"<IndexDataset>{index}</IndexDataset>"
    text = f"<GDALTileIndexDataset>{name}</GDALTileIndexDataset>"
    Path("tiles/i.gti").write_text(text)
    return "tiles/i.gti"


def stac_templates():
    write_tiles()
    Path("tiles/0/0").mkdir(parents=True)
    for number in range(2):
        shutil.move(f"tiles/t{number}.tif", f"tiles/0/0/{number}.tif")
    matrix = {
        "id": "0", "cellSize": 10, "pointOfOrigin": [500000, 5300000], "tileWidth": 16,
        "tileHeight": 16, "matrixWidth": 2, "matrixHeight": 1,
        "scaleDenominator": 10 / 0.00028,
    }  # fmt: skip
    matrices = {
        "id": "a", "crs": "http://www.opengis.net/def/crs/EPSG/0/32632",
        "tileMatrices": [matrix], "supportedCRS": "http://www.opengis.net/def/crs/EPSG/0/32632",
    }  # fmt: skip
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": ["tiled-assets"],
        "properties": {
            "tiles:tile_matrix_sets": {"a": matrices},
            "tiles:tile_matrix_links": {"a": {"url": "#a"}},
        },
        "asset_templates": {
            "bands": {"href": "./{TileMatrix}/{TileRow}/{TileCol}.tif", "title": "b"}
        },
    }
    Path("tiles/item.json").write_text(json.dumps(item))
    return 'STACTA:"tiles/item.json"'


PROJECTION = "https://stac-extensions.github.io/projection/v1.1.0/schema.json"


def stac_collection(link="{}"):
    write_tiles()
    features = []
    for number in range(2):
        transform = [10, 0, 500000 + 160 * number, 0, -10, 5300000]
        grid = {"proj:transform": transform, "proj:shape": [16, 16]}
        href = link.format(Path(f"tiles/t{number}.tif").absolute())
        asset = {"href": href, "roles": ["data"], **grid}
        features.append({
            "type": "Feature", "stac_version": "1.0.0", "id": f"t{number}",
            "stac_extensions": [PROJECTION],
            "properties": {"proj:epsg": 32632, "datetime": "2023-01-01T00:00:00Z"},
            "collection": "c", "assets": {"a": asset}, "links": [],
            "bbox": [9, 47.8, 9.1, 47.9], "geometry": None,
        })  # fmt: skip
    collection = {"type": "FeatureCollection", "features": features}
    Path("tiles/items.json").write_text(json.dumps(collection))


@pytest.mark.parametrize("name", ['STACIT:"tiles/items.json"', "tiles/items.json"])
def test_items_of_a_local_stac_collection_are_one_raster(srx, made, name):
    stac_collection()
    made(name)
    assert "1 skipped" in made(name)
    os.utime("tiles/t1.tif", (2e9, 2e9))
    assert "has changed since" in made(name)
    stac_collection("https://example.org/{}")
    result = srx("upscale", name, "remote.tif", RUN, code=2)
    assert "from the network; --allow-remote permits it" in result.err


@pytest.mark.parametrize("write", [geopackage, shapefile, description, stac_templates])
def test_of_an_index_of_tiles_the_index_alone_counts(made, write):
    name = write()
    made(name)
    for tile in Path("tiles").rglob("*.tif"):
        os.utime(tile, (2e9, 2e9))
    assert "1 skipped" in made(name)
    os.utime(name.rpartition(":")[2].strip('"'), (2e9, 2e9))
    assert "has changed since" in made(name)


def test_map_tiles_with_a_place_beside_them_are_finished_once(made):
    place = "<GeoTransform>9000,10,0,5000,0,-10</GeoTransform>"
    for column in (9, 10):
        Path(f"tiles/5/{column}").mkdir(parents=True)
        name = f"tiles/5/{column}/12.png"
        write_by_gdal(name, noise((16, 16)), driver="PNG")
        write_later(f"{name}.aux.xml", f"<PAMDataset>{place}</PAMDataset>")
    assert "2 done" in made("tiles", "--mosaic")
    assert "2 skipped" in made("tiles", "--mosaic")

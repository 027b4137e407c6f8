#!/bin/bash
# GDAL 3.10.3 (rasterio 1.4.4) describes a product of Sentinel-2 as a VRT that is no XML: the product's own metadata, a tag
# in the domain xml:SENTINEL2, is written with its declaration, <?xml version="1.0" ...?>, which may only begin a document.
# GDAL reads such a file, strict parsers (Python's, libxml2 and so lxml, QGIS's Qt) refuse it. The product here has one
# band and the elements of ESA's product specification (PSD-14) that GDAL asks for. Seen:
#   B4, central wavelength 665 nm; declarations 1; XML or text declaration not at start of entity; GDAL: (40, 40)
# What helps: take declarations out of the text before it is parsed. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import rasterio
import rasterio.shutil

PSD = "https://psd-14.sentinel2.eo.esa.int/PSD"
PRODUCT = Path("S2B_MSIL2A_20230601T101559_N0509_R065_T32TQM_20230601T134513.SAFE")
GRANULE = "L2A_T32TQM_A032570_20230601T101803"
GEOCODING = "".join(
    f'<Size resolution="{side}"><NROWS>{rows}</NROWS><NCOLS>{rows}</NCOLS></Size><Geoposition resolution="{side}">'
    f"<ULX>699960</ULX><ULY>5200020</ULY><XDIM>{side}</XDIM><YDIM>-{side}</YDIM></Geoposition>"
    for side, rows in ((10, 40), (20, 20), (60, 7))
)
BAND = f"GRANULE/{GRANULE}/IMG_DATA/R10m/T32TQM_20230601T101559_B04_10m"

(PRODUCT / BAND).parent.mkdir(parents=True)
with rasterio.open(
    PRODUCT / f"{BAND}.jp2", "w", driver="JP2OpenJPEG", width=40, height=40, count=1, dtype="uint16",
    crs="EPSG:32632", transform=rasterio.transform.from_origin(699960, 5200020, 10, 10),
    QUALITY="100", REVERSIBLE="YES",
) as band:  # fmt: skip
    band.write(np.arange(1000, 2600, dtype="uint16").reshape(1, 40, 40))
(PRODUCT / "MTD_MSIL2A.xml").write_text(
    f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-2A_User_Product xmlns:n1="{PSD}/User_Product_Level-2A.xsd"><n1:General_Info><Product_Info>
<PRODUCT_URI>{PRODUCT}</PRODUCT_URI><PROCESSING_LEVEL>Level-2A</PROCESSING_LEVEL><PRODUCT_TYPE>S2MSI2A</PRODUCT_TYPE>
<Query_Options completeSingleTile="true"><PRODUCT_FORMAT>SAFE_COMPACT</PRODUCT_FORMAT></Query_Options>
<Product_Organisation><Granule_List><Granule datastripIdentifier="x" granuleIdentifier="{GRANULE}" imageFormat="JPEG2000">
<IMAGE_FILE>{BAND}</IMAGE_FILE></Granule></Granule_List></Product_Organisation></Product_Info></n1:General_Info>
</n1:Level-2A_User_Product>"""
)
(PRODUCT / "GRANULE" / GRANULE / "MTD_TL.xml").write_text(
    f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-2A_Tile_ID xmlns:n1="{PSD}/S2_PDI_Level-2A_Tile_Metadata.xsd"><n1:General_Info>
<TILE_ID>{GRANULE}</TILE_ID></n1:General_Info><n1:Geometric_Info><Tile_Geocoding metadataLevel="Brief">
<HORIZONTAL_CS_NAME>WGS84 / UTM zone 32N</HORIZONTAL_CS_NAME><HORIZONTAL_CS_CODE>EPSG:32632</HORIZONTAL_CS_CODE>
{GEOCODING}</Tile_Geocoding></n1:Geometric_Info></n1:Level-2A_Tile_ID>"""
)
with rasterio.open(f"SENTINEL2_L2A:{PRODUCT}/MTD_MSIL2A.xml:10m:EPSG_32632") as product:
    name = product.descriptions[0]
    rasterio.shutil.copy(product, "product.vrt", driver="VRT")
text = Path("product.vrt").read_text()
try:
    ElementTree.fromstring(text)
    said = "read"
except ElementTree.ParseError as error:
    said = str(error).partition(":")[0]
with rasterio.open("product.vrt") as vrt:
    shape = vrt.shape
found = (name, text.count("<?xml"), said, shape)
print("{}; declarations {}; {}; GDAL: {}".format(*found))
assert found == (
    "B4, central wavelength 665 nm", 1, "XML or text declaration not at start of entity", (40, 40)
)  # fmt: skip
PY

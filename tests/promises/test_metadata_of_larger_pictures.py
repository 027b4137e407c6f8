"""EXIF and XMP of an enlarged picture describe the new pixels, not those of the input."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image, ImageOps
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import IFDRational
from skimage import data

from tests.fixtures.photographs import write_by_gdal
from tests.fixtures.pictures import turned_exif

WIDTH = 40
HEIGHT = 24
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
GOOGLE = "http://ns.google.com/photos/1.0/"
NAMESPACES = {
    "rdf": RDF,
    "GPano": f"{GOOGLE}panorama/",
    "GCamera": f"{GOOGLE}camera/",
    "GDepth": f"{GOOGLE}depthmap/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpGImg": "http://ns.adobe.com/xap/1.0/g/img/",
    "Container": f"{GOOGLE}container/",
    "Item": f"{GOOGLE}container/item/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "HDRGainMap": "http://ns.apple.com/HDRGainMap/1.0/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "MP": "http://ns.microsoft.com/photo/1.2/",
    "MPRI": "http://ns.microsoft.com/photo/1.2/t/RegionInfo#",
    "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
}
MARKED = (25, 15, 32, 21)
"""Left, top, right and bottom of the mark in the stored picture."""


def packet(attributes="", elements="", *, form="attributes"):
    """XMP with properties; attributes become elements for ``kind`` elements."""
    if form == "elements":
        pairs = [pair.split('="') for pair in attributes.split('" ') if pair]
        elements += "".join(
            f"<{n.strip()}>{v.rstrip(chr(34))}</{n.strip()}>" for n, v in pairs
        )
        attributes = ""
    spaces = " ".join(f'xmlns:{name}="{uri}"' for name, uri in NAMESPACES.items())
    return (
        f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta '
        f'xmlns:x="adobe:ns:meta/"><rdf:RDF {spaces}><rdf:Description rdf:about="" '
        f'photoshop:Instructions="first&#xA;second" {attributes}><dc:creator><rdf:Seq><rdf:li>Ann '
        f"&amp; Müller</rdf:li></rdf:Seq></dc:creator>{elements}</rdf:Description></rdf:RDF>"
        f'</x:xmpmeta>\n  <?xpacket end="w"?>'
    ).encode()


def marked():
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    column, top, right, bottom = MARKED
    pixels[top:bottom, column:right] = 255
    return Image.fromarray(pixels)


def properties(path):
    """All values of the XMP of a written file, by prefix and name, in the order of the packet."""
    with Image.open(path) as image:
        root = ET.fromstring(image.info["xmp"].decode())
    names = {uri: prefix for prefix, uri in NAMESPACES.items()}
    values: dict[str, list[str]] = {}
    for element in root.iter():
        for key, value in [
            (element.tag, (element.text or "").strip()),
            *element.attrib.items(),
        ]:
            uri, _, name = key.removeprefix("{").partition("}")
            if uri in names and (value or key == element.tag):
                values.setdefault(f"{names[uri]}:{name}", []).append(value)
    return values


def box(path):
    """Left, top, right and bottom of the mark in a written file, as parts of its sides."""
    with Image.open(path) as image:
        bright = np.asarray(image.convert("L")) > 127
    rows = np.flatnonzero(bright.any(1))
    columns = np.flatnonzero(bright.any(0))
    height, width = bright.shape
    edges = (
        columns[0] / width,
        rows[0] / height,
        (columns[-1] + 1) / width,
        (rows[-1] + 1) / height,
    )
    return np.array(edges)


@pytest.fixture
def upscale(srx):

    def run(source, target, *options):
        return srx(f"upscale {source} {target} -m bicubic", *options, code=0)

    return run


def exif_of(orientation, **options):
    exif = Image.Exif()
    exif.endian = options.get("endian", "<")
    exif[0x010F] = "Camera"
    exif[0x0112] = orientation
    exif[0x011A] = 300.0
    exif[0x011B] = 200.0
    exif[0x0128] = 2
    details = exif.get_ifd(0x8769)
    column, top, right, bottom = MARKED
    centre = (column + right) // 2, (top + bottom) // 2
    details[0x9214] = (*centre, right - column, bottom - top)[
        : options.get("values", 4)
    ]
    details[0xA214] = centre
    details[0xA20E] = IFDRational(2001, 2)
    details[0xA20F] = IFDRational(2001, 4)
    details[0xA002] = WIDTH
    details[0xA003] = HEIGHT
    details[0x927C] = b"note of the maker"
    return exif.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_follows_the_pixels(upscale, tmp_path, orientation, suffix):
    source = f"a.{suffix}"
    target = tmp_path / "b.tif"
    block = exif_of(orientation, endian="<>"[orientation % 2])
    marked().save(
        source, exif=block, dpi=(300, 200), **{"quality": 95} if suffix == "jpg" else {}
    )
    upscale(source, target, "-s 3")
    with Image.open(target) as image:
        exif = image.getexif()
        size = image.size
        details = exif.get_ifd(0x8769)
        dpi = (300, 200) if orientation < 5 else (200, 300)
        assert image.info["dpi"] == pytest.approx(dpi, abs=0.01)
    assert exif.get(0x0112, 1) == 1
    assert details[0x927C] == b"note of the maker"
    assert not {0xA002, 0xA003} & details.keys()
    densities = [float(details[tag]) for tag in (0xA20E, 0xA20F)]
    assert densities == [3001.5, 1500.75] if orientation < 5 else [1500.75, 3001.5]
    x, y, width, height = np.array(details[0x9214]) / [*size, *size]
    stated = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    # it was stated in whole pixels
    assert np.abs(stated - box(target)).max() < 1.6 / HEIGHT
    assert details[0xA214] == details[0x9214][:2]


def test_values_that_exif_cannot_hold_are_left_out_and_circles_stay(upscale):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9214] = (20, 12, 8)
    exif.get_ifd(0x8769)[0xA214] = (60_000, 12)
    marked().save("a.jpg", exif=exif)
    upscale("a.jpg", "b.jpg", "-s 4")
    with Image.open("b.jpg") as image:
        details = image.getexif().get_ifd(0x8769)
    assert details == {0x9214: (80, 48, 32)}


PANORAMA = (
    'GPano:ProjectionType="equirectangular" GPano:FullPanoWidthPixels="80" '
    'GPano:FullPanoHeightPixels="40" GPano:CroppedAreaImageWidthPixels="40" '
    'GPano:CroppedAreaImageHeightPixels="24" GPano:CroppedAreaLeftPixels="20" '
    'GPano:CroppedAreaTopPixels="8" GPano:PoseHeadingDegrees="350.5" exif:PixelXDimension="40" '
    'exif:PixelYDimension="24" tiff:ImageWidth="40" tiff:ImageLength="24" '
    'exif:FocalPlaneXResolution="3000/2" exif:FocalPlaneYResolution="500/1" '
)


@pytest.mark.parametrize("form", ["attributes", "elements"])
@pytest.mark.parametrize(
    ("options", "across", "down"),
    [
        (("-s", "2"), Fraction(2), Fraction(2)),
        (("-s", "4", "--fit", "100x"), *[Fraction(5, 2)] * 2),
    ],
)
def test_sizes_in_xmp_are_those_of_the_output(upscale, form, options, across, down):
    marked().save("a.jpg", xmp=packet(PANORAMA, form=form))
    upscale("a.jpg", "b.webp", *options)
    found = {name: values[0] for name, values in properties("b.webp").items()}
    with Image.open("b.webp") as image:
        assert image.size == (WIDTH * across, HEIGHT * down)
    expected = {
        "GPano:ProjectionType": "equirectangular",
        "GPano:FullPanoWidthPixels": 80 * across,
        "GPano:FullPanoHeightPixels": 40 * down,
        "GPano:CroppedAreaImageWidthPixels": 40 * across,
        "GPano:CroppedAreaImageHeightPixels": 24 * down,
        "GPano:CroppedAreaLeftPixels": 20 * across,
        "GPano:CroppedAreaTopPixels": 8 * down,
        "GPano:PoseHeadingDegrees": "350.5",
        "exif:PixelXDimension": 40 * across,
        "exif:PixelYDimension": 24 * down,
        "tiff:ImageWidth": 40 * across,
        "tiff:ImageLength": 24 * down,
        "photoshop:Instructions": "first\nsecond",
    }
    for name, value in expected.items():
        assert found[name] == str(value), name
    assert Fraction(found["exif:FocalPlaneXResolution"]) == 1500 * across
    assert Fraction(found["exif:FocalPlaneYResolution"]) == 500 * down
    assert "Ann & Müller" in properties("b.webp")["rdf:li"]


def regions(applied=(WIDTH, HEIGHT)):
    column, top, right, bottom = MARKED
    x = column / WIDTH
    y = top / HEIGHT
    w = (right - column) / WIDTH
    h = (bottom - top) / HEIGHT
    return (
        f'<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:AppliedToDimensions '
        f'stDim:w="{applied[0]}" stDim:h="{applied[1]}" stDim:unit="pixel"/><mwg-rs:RegionList>'
        f'<rdf:Bag><rdf:li><rdf:Description mwg-rs:Name="Ann" mwg-rs:Type="Face"><mwg-rs:Area '
        f'stArea:x="{x + w / 2}" stArea:y="{y + h / 2}" stArea:w="{w}" stArea:h="{h}" '
        f'stArea:unit="normalized"/></rdf:Description></rdf:li></rdf:Bag></mwg-rs:RegionList>'
        f'</mwg-rs:Regions><MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions><rdf:Bag><rdf:li '
        f'MPReg:Rectangle="{x}, {y}, {w}, {h}" MPReg:PersonDisplayName="Ann"/></rdf:Bag>'
        f"</MPRI:Regions></MP:RegionInfo><Iptc4xmpExt:ImageRegion><rdf:Bag><rdf:li "
        f'rdf:parseType="Resource"><Iptc4xmpExt:RegionBoundary Iptc4xmpExt:rbShape="rectangle" '
        f'Iptc4xmpExt:rbUnit="pixel" Iptc4xmpExt:rbX="{column}" Iptc4xmpExt:rbY="{top}" '
        f'Iptc4xmpExt:rbW="{right - column}" Iptc4xmpExt:rbH="{bottom - top}"/></rdf:li></rdf:Bag>'
        f"</Iptc4xmpExt:ImageRegion><exif:SubjectArea><rdf:Seq><rdf:li>{(column + right) // 2}"
        f"</rdf:li><rdf:li>{(top + bottom) // 2}</rdf:li></rdf:Seq></exif:SubjectArea>"
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_of_faces_turn_with_the_picture(upscale, orientation):
    exif = turned_exif(orientation)
    marked().save("a.png", exif=exif)
    marked().save("a.jpg", exif=exif, xmp=packet(elements=regions()), quality=95)
    upscale("a.jpg", "b.webp", "-s 2")
    xmp = properties("b.webp")
    expected = box("b.webp")
    with Image.open("a.png") as image:
        width, height = [2 * side for side in ImageOps.exif_transpose(image).size]
    assert (xmp["stDim:w"], xmp["stDim:h"]) == ([str(width)], [str(height)])
    x, y, w, h = (float(xmp[f"stArea:{name}"][0]) for name in "xywh")
    face = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
    assert np.abs(face - expected).max() < 0.03
    x, y, w, h = map(float, xmp["MPReg:Rectangle"][0].split(","))
    assert np.abs([x, y, x + w, y + h] - np.array(face)).max() < 1e-6
    x, y, w, h = (float(xmp[f"Iptc4xmpExt:rb{name}"][0]) for name in "XYWH")
    boundary = np.array([x / width, y / height, (x + w) / width, (y + h) / height])
    assert np.abs(boundary - face).max() < 1e-6
    subject = [float(value) for value in xmp["rdf:li"] if value.isdigit()]
    middle = [(face[0] + face[2]) / 2 * width, (face[1] + face[3]) / 2 * height]
    assert np.abs(np.array(subject) - middle).max() <= 2


def test_a_subject_written_as_an_attribute_fails_no_picture(upscale):
    marked().save("a.jpg", xmp=packet('exif:SubjectArea="12 10"'))
    upscale("a.jpg", "b.jpg", "-s 2")
    with Image.open("b.jpg") as image:
        assert image.size == (2 * WIDTH, 2 * HEIGHT)


def test_regions_of_an_upright_picture_are_not_turned_again(upscale):
    exif = turned_exif(6)
    upright = regions(applied=(HEIGHT, WIDTH))
    marked().save("a.jpg", exif=exif, xmp=packet(elements=upright))
    upscale("a.jpg", "b.jpg", "-s 2")
    xmp = properties("b.jpg")
    assert (xmp["stDim:w"], xmp["stDim:h"]) == ([str(2 * HEIGHT)], [str(2 * WIDTH)])
    assert float(xmp["stArea:x"][0]) == pytest.approx(
        (MARKED[0] + MARKED[2]) / 2 / WIDTH
    )


def test_heic_that_its_library_turns_upright(upscale):
    library = pytest.importorskip("pillow_heif")
    exif = turned_exif(6)
    exif.get_ifd(0x8769)[0xA214] = (30, 18)
    library.register_heif_opener()
    marked().save("a.heic", exif=exif.tobytes(), xmp=packet(elements=regions()))
    upscale("a.heic", "b.jpg", "-s 2")
    with Image.open("b.jpg") as turned:
        assert turned.size == (2 * HEIGHT, 2 * WIDTH)
        assert turned.getexif().get_ifd(0x8769)[0xA214] == (2 * (HEIGHT - 18), 2 * 30)
    xmp = properties("b.jpg")
    expected = box("b.jpg")
    x, y, w, h = (float(xmp[f"stArea:{name}"][0]) for name in "xywh")
    assert np.abs([x - w / 2, y - h / 2, x + w / 2, y + h / 2] - expected).max() < 0.05


LOST = {
    "gain map": (
        'hdrgm:Version="1.0" hdrgm:GainMapMax="2.1"',
        "",
        "HDR gain map left out",
    ),
    "apple": ('HDRGainMap:HDRGainMapVersion="65536"', "", "HDR gain map left out"),
    "container": (
        "",
        "<Container:Directory><rdf:Seq><rdf:li rdf:parseType='Resource'><Container:Item "
        "Item:Semantic='Primary'/></rdf:li><rdf:li rdf:parseType='Resource'><Container:Item "
        "Item:Semantic='GainMap' Item:Length='9'/></rdf:li></rdf:Seq></Container:Directory>",
        "HDR gain map left out",
    ),
    "motion photo": (
        'GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1" GCamera:SpecialTypeID="1"',
        "",
        "video of the motion photo left out",
    ),
    "micro video": (
        "",
        "<GCamera:MicroVideo>1</GCamera:MicroVideo><GCamera:MicroVideoOffset>99"
        "</GCamera:MicroVideoOffset>",
        "video of the motion photo left out",
    ),
    "depth": ('GDepth:Format="RangeInverse" GDepth:Near="1"', "", "depth map left out"),
    "thumbnail": (
        "",
        "<xmp:Thumbnails><rdf:Alt><rdf:li rdf:parseType='Resource'><xmpGImg:width>9</xmpGImg:width>"
        "</rdf:li></rdf:Alt></xmp:Thumbnails>",
        "",
    ),
    "no video": ('GCamera:MicroVideo="0" GCamera:MicroVideoOffset="0"', "", ""),
    "extended": (
        'xmpNote:HasExtendedXMP="0123456789ABCDEF"',
        "",
        "extended XMP left out",
    ),
}


@pytest.mark.parametrize("case", LOST)
def test_what_was_beside_the_picture_is_named_and_no_longer_promised(upscale, case):
    attributes, elements, told = LOST[case]
    marked().save("a.jpg", xmp=packet(attributes, elements))
    result = upscale("a.jpg", "b.webp", "-s 2")
    assert ("left out" in result.err) == bool(told)
    assert told in result.err
    xmp = properties("b.webp")
    assert "Ann & Müller" in xmp["rdf:li"]
    gone = ("hdrgm", "HDRGainMap", "Container", "Item", "GCamera:M", "xmp", "GDepth")
    assert not [name for name in xmp if name.startswith(gone)]
    assert ("GCamera:SpecialTypeID" in xmp) == (case == "motion photo")


def gain_map_jpeg():
    """A picture and a gain map in one file, by CIPA's multi-picture format, as an iPhone writes."""
    stream = io.BytesIO()
    gain_map = Image.new("L", (20, 12), 90)
    gain_map.encoderinfo = {"xmp": packet('HDRGainMap:HDRGainMapVersion="65536"')}
    marked().save(stream, "MPO", save_all=True, append_images=[gain_map])
    return stream.getvalue()


def iso_jpeg():
    stream = io.BytesIO()
    name = b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)
    segment = b"\xff\xe2" + struct.pack(">H", len(name) + 2) + name
    marked().save(stream, "JPEG", extra=segment)
    return stream.getvalue()


def samsung_jpeg():
    """A picture, a video and a directory of what stands behind the picture."""
    stream = io.BytesIO()
    marked().save(stream, "JPEG")
    directory = b"SEFH" + struct.pack("<IIHHII", 107, 1, 0, 0x0A30, 40, 40)
    return (
        stream.getvalue()
        + bytes(40)
        + directory
        + struct.pack("<I", len(directory))
        + b"SEFT"
    )


def avif_with_tone_map():
    stream = io.BytesIO()
    marked().save(stream, "AVIF")
    content = stream.getvalue()
    item = struct.pack(">I4sIHH4sB", 21, b"infe", 2 << 24, 9, 0, b"tmap", 0)
    # a box that readers skip, at the top level, with the item in it
    return content + struct.pack(">I4s", 8 + len(item), b"free") + item


@pytest.mark.parametrize(
    ("suffix", "content", "name"),
    [
        ("jpg", gain_map_jpeg, "HDR gain map"),
        ("jpg", iso_jpeg, "HDR gain map"),
        ("avif", avif_with_tone_map, "HDR gain map"),
        ("jpg", samsung_jpeg, "video of the motion photo"),
    ],
)
def test_what_xmp_does_not_name_is_told(upscale, tmp_path, suffix, content, name):
    source = tmp_path / f"a.{suffix}"
    source.write_bytes(content())
    assert f"{name} left out" in upscale(source, "b.png", "-s 2").err
    marked().save(f"plain.{suffix}")
    assert "left out" not in upscale(f"plain.{suffix}", "c.png", "-s 2").err


def test_xmp_of_a_georeferenced_raster_is_that_of_the_output(upscale):
    xmp = packet(PANORAMA + 'hdrgm:Version="1.0"', regions())
    key, _, value = xmp.decode().partition("=")
    write_by_gdal(
        "a.tif",
        np.asarray(marked()),
        transform=rasterio.Affine(0.5, 0, 600_000, 0, -0.5, 5_100_000),
        then=lambda file: file.update_tags(ns="xml:XMP", **{key: value}),
    )
    assert "HDR gain map left out" in upscale("a.tif", "b.tif", "-s 2").err
    with rasterio.open("b.tif") as file:
        kept_xmp = file.tags(ns="xml:XMP")["xml:XMP"]
    assert 'GPano:FullPanoWidthPixels="160" GPano:FullPanoHeightPixels="80"' in kept_xmp
    assert f'stDim:w="{2 * WIDTH}" stDim:h="{2 * HEIGHT}"' in kept_xmp
    assert "hdrgm:Version" not in kept_xmp


ENTITIES = '<!ENTITY e0 "x">' + "".join(
    f'<!ENTITY e{i} "&e{i - 1};&e{i - 1};">' for i in range(1, 40)
)


@pytest.mark.parametrize(
    "damage",
    [
        lambda xmp: xmp[:-60],
        lambda xmp: xmp.replace(
            b"<x:xmpmeta", b"<!DOCTYPE x [" + ENTITIES.encode() + b"]><x:xmpmeta"
        ).replace(b"first", b"&e39;"),
        lambda xmp: xmp.replace(
            b"<dc:creator>", b"<dc:creator>" + b"<a>" * 5000 + b"</a>" * 5000
        ),
        lambda xmp: xmp.replace(b"Ann", b"\xff\xfe"),
        lambda xmp: xmp.replace(b'"80"', b'"wide"').replace(b'"3000/2"', b'"1/0"'),
    ],
    ids=["cut", "entities", "deep", "no UTF-8", "no numbers"],
)
def test_odd_packets_break_nothing(upscale, damage):
    odd = damage(packet(PANORAMA))
    marked().save("a.jpg", xmp=odd)
    upscale("a.jpg", "b.jpg", "-s 2")
    with Image.open("b.jpg") as image:
        assert b'GPano:ProjectionType="equirectangular"' in image.info["xmp"]
        assert image.size == (2 * WIDTH, 2 * HEIGHT)


def test_strip_metadata_leaves_all_of_it_out(upscale):
    marked().save("a.jpg", exif=exif_of(6), xmp=packet(PANORAMA), comment=b"by Ann")
    upscale("a.jpg", "b.jpg", "-s 2 --strip-metadata")
    with Image.open("b.jpg") as image:
        assert "xmp" not in image.info
        assert "comment" not in image.info
        assert set(image.getexif()) <= {0x0131}


@pytest.mark.parametrize("fmt", ["jpg", "png", "tif"])
@pytest.mark.parametrize(
    ("asked", "dpi"),
    [
        ("-s 2", (72, 96)),
        ("-s 2 --dpi scale", (144, 192)),
        ("-s 2 --dpi 300", (300, 300)),
    ],
)
def test_resolution_is_kept_scaled_or_a_number(srx, fmt, asked, dpi):
    exif = Image.Exif()
    exif[0x011A] = 72.0
    exif[0x011B] = 96.0
    Image.new("RGB", (9, 7)).save(f"a.{fmt}", exif=exif, dpi=(72, 96))
    words = ("upscale", f"a.{fmt}", "out", "-m bicubic")
    srx(*words, asked, code=0)
    with Image.open(f"out/a.{fmt}") as image:
        assert image.info["dpi"] == pytest.approx(dpi, abs=0.03)
        stated = image.getexif()
    assert (stated[0x011A], stated[0x011B]) == pytest.approx(dpi, abs=0.03)
    assert "1 skipped" in srx(*words, asked, code=0).out
    assert "not keep, scale or 1 to 65535" in srx(*words, "--dpi 0", code=2).err


# a photograph, and a part of it as a raster
@pytest.mark.parametrize("options", ["-s 2", "-s 2 -srcwin 0 0 16 12"])
def test_the_size_of_a_microscopes_pixels_follows(srx, options):
    pixels = np.zeros((24, 32), np.uint16)
    tifffile.imwrite("a.ome.tif", pixels, ome=True, metadata={"PhysicalSizeX": 0.1})
    tifffile.imwrite("b.tif", pixels, imagej=True, resolution=(10, 5))
    srx("upscale a.ome.tif b.tif out -m bicubic", options, code=0)
    with tifffile.TiffFile("out/a.ome.tif") as file:
        assert file.series[0].shape == file.pages.first.shape
        assert 'PhysicalSizeX="0.05"' in str(file.ome_metadata)
    with tifffile.TiffFile("out/b.tif") as file:
        assert file.pages.first.resolution == (20, 10)


@pytest.mark.parametrize("unit", [1, 2])
def test_a_ratio_of_sides_is_no_resolution(upscale, tmp_path, unit):
    # JFIF 1.01 without a unit, as phones and web sites write it, and EXIF beside it
    block = Image.Exif()
    block[Base.ResolutionUnit] = unit
    block[Base.XResolution] = block[Base.YResolution] = 1.0
    source = tmp_path / "phone.jpg"
    Image.fromarray(data.chelsea()[:60, :80]).save(source, exif=block)
    assert source.read_bytes()[13:18] == b"\0\0\1\0\1"
    upscale(source, tmp_path / "x.jpg", "-s2")
    with Image.open(tmp_path / "x.jpg") as larger:
        assert larger.info["jfif_unit"] == unit - 1
        assert larger.info["jfif_density"] == (1, 1)
        assert larger.getexif()[Base.ResolutionUnit] == unit

"""What cameras say of their lens in pixels goes; regions of people follow."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.pictures import turned_exif

DJI = (
    'xmlns:d="http://www.dji.com/drone-dji/1.0/" d:RelativeOpticalCenterX="12.25" '
    'd:RelativeOpticalCenterY="-7.5" d:VignettingData="4.0e-3, 2.0e-6, -1.0e-9" '
    'd:DewarpHMatrix="1.0,0.002,3.5,-0.002,1.0,-4.5,0.00001,0.00002,1.0"'
)
PIX4D = (
    'xmlns:Camera="http://pix4d.com/camera/1.0" Camera:VignettingCenter="24.5,16.25" '
    'Camera:FisheyeAffineMatrix="1640.6,0,0,1640.6" Camera:PrincipalPoint="24.0,16.0" '
    'Camera:PerspectiveFocalLength="1500" Camera:PerspectiveDistortion="-0.1,0.15"'
)
ACDSEE = (
    'xmlns:rs="http://ns.acdsee.com/regions/" '
    'xmlns:dim="http://ns.acdsee.com/sType/Dimensions#" '
    'xmlns:area="http://ns.acdsee.com/sType/Area#"'
)


@pytest.fixture
def fitted(srx):
    """Enlarge a picture of 48x32 pixels with XMP; return the new XMP and what was told."""

    def run(attributes, elements="", options="-s 2", **saving):
        packet = (
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
            'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
            f'rdf:about="" {attributes}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta>'
        )
        pixels = np.full((32, 48, 3), 90, np.uint8)
        Image.fromarray(pixels).save("a.jpg", xmp=packet.encode(), **saving)
        told = srx("upscale a.jpg b.jpg -m bicubic", options, code=0).err
        with Image.open("b.jpg") as image:
            return image.info["xmp"].decode(), told

    return run


def numbers(xmp, name):
    """Return the numbers of a property: an attribute, or the items of a sequence."""
    match = re.search(rf'{name}="([^"]*)"', xmp)
    if match:
        return [float(word) for word in match[1].split(",")]
    (inside,) = re.findall(rf"<{name}>(.*?)</{name}>", xmp, re.DOTALL)
    return [float(word) for word in re.findall(r"<rdf:li>(.*?)</rdf:li>", inside)]


@pytest.mark.parametrize(
    ("lens", "kept"),
    [
        (f'{DJI} d:GimbalRollDegree="+0.5"', "GimbalRollDegree"),
        (f'{PIX4D} Camera:BandName="Red"', "BandName"),
    ],
)
def test_calibration_of_a_lens_is_left_out_with_a_line(fitted, lens, kept):
    """Photogrammetry would calibrate wrongly by numbers of smaller pixels."""
    xmp, told = fitted(lens)
    assert "calibration of the lens left out" in told
    assert kept in xmp
    assert not re.search("Optical|Vignetting|Dewarp|Focal|Principal|Matrix", xmp)
    assert re.search("PerspectiveDistortion|GimbalRoll", xmp)


def test_regions_of_acdsee_know_the_new_size(fitted):
    elements = (
        '<rs:Regions><rdf:Description><rs:AppliedToDimensions dim:w="48" dim:h="32" '
        'dim:unit="pixel"/><rs:RegionList><rdf:Bag><rdf:li><rdf:Description><rs:DLYArea '
        'area:x="0.25" area:y="0.5" area:w="0.1" area:h="0.2"/></rdf:Description></rdf:li>'
        "</rdf:Bag></rs:RegionList></rdf:Description></rs:Regions>"
    )
    xmp, _ = fitted(ACDSEE, elements)
    assert numbers(xmp, "dim:w") == [96]
    assert numbers(xmp, "dim:h") == [64]
    assert numbers(xmp, "area:x") == [0.25]
    turned, _ = fitted(ACDSEE, elements, exif=turned_exif(6))
    assert numbers(turned, "dim:w") == [64]
    # turned to the right: the new x is the height less y
    assert numbers(turned, "area:x") == [0.5]
    assert numbers(turned, "area:y") == [0.25]
    assert numbers(turned, "area:w") == [0.2]

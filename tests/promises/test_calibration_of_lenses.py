"""What cameras say of their lens in pixels holds for the enlarged picture."""

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
PIX4D = 'xmlns:Camera="http://pix4d.com/camera/1.0"'
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


def test_vignetting_and_homographies_of_dji_give_what_they_gave(fitted):
    """A pixel of the old picture and its place in the new one are corrected alike."""
    xmp, told = fitted(DJI, options="-s 3")
    assert "left out" not in told
    assert numbers(xmp, "d:RelativeOpticalCenterX") == [36.75]
    assert numbers(xmp, "d:RelativeOpticalCenterY") == [-22.5]
    radius = 17.0
    powers = np.arange(1, 4)
    before = (np.array([4.0e-3, 2.0e-6, -1.0e-9]) * radius**powers).sum()
    after = (numbers(xmp, "d:VignettingData") * (3 * radius) ** powers).sum()
    assert after == pytest.approx(before, rel=1e-6)
    old = np.array([1, 0.002, 3.5, -0.002, 1, -4.5, 1e-5, 2e-5, 1]).reshape(3, 3)
    new = np.array(numbers(xmp, "d:DewarpHMatrix")).reshape(3, 3)
    point = np.array([10.0, 20.0, 1.0])
    mapped = old @ point
    mapped_new = new @ (point * [3, 3, 1])
    np.testing.assert_allclose(
        mapped_new[:2] / mapped_new[2], 3 * mapped[:2] / mapped[2], rtol=1e-6
    )


def test_what_does_not_follow_a_turn_is_left_out_with_a_line(fitted):
    xmp, told = fitted(DJI, exif=turned_exif(6))
    for name in ("RelativeOpticalCenter", "DewarpHMatrix"):
        assert f"d:{name}" not in xmp
        assert f"calibration of the lens ({name}) left out" in told
    assert numbers(xmp, "d:VignettingData") == pytest.approx([2e-3, 5e-7, -1.25e-10])


def sequence(name, *values):
    items = "".join(f"<rdf:li>{value}</rdf:li>" for value in values)
    return f"<Camera:{name}><rdf:Seq>{items}</rdf:Seq></Camera:{name}>"


def test_multispectral_cameras_are_calibrated_for_the_new_pixels(fitted):
    elements = sequence("VignettingCenter", 24.5, 16.25)
    elements += sequence("VignettingPolynomial", "-0.0001", "2e-7")
    elements += sequence("PerspectiveDistortion", "-0.1", "0.15")
    lens = (
        'Camera:PerspectiveFocalLength="5.45" Camera:PerspectiveFocalLengthUnits="mm"'
    )
    xmp, _ = fitted(f"{PIX4D} {lens}", elements)
    assert numbers(xmp, "Camera:VignettingCenter") == [49, 32.5]
    assert numbers(xmp, "Camera:VignettingPolynomial") == [-5e-5, 5e-8]
    assert numbers(xmp, "Camera:PerspectiveDistortion") == [-0.1, 0.15]
    assert numbers(xmp, "Camera:PerspectiveFocalLength") == [5.45]  # millimetres stay


def test_a_fisheye_in_pixels_is_scaled(fitted):
    lens = (
        'Camera:FisheyeAffineMatrix="1640.6,0,0,1640.6" Camera:FisheyePolynomial="0,1,0.02" '
        'Camera:PrincipalPoint="24.0,16.0" Camera:PerspectiveFocalLength="1500" '
        'Camera:PerspectiveFocalLengthUnits="px"'
    )
    xmp, _ = fitted(f"{PIX4D} {lens}", options="-s 4")
    assert numbers(xmp, "Camera:FisheyeAffineMatrix") == [6562.4, 0, 0, 6562.4]
    assert numbers(xmp, "Camera:FisheyePolynomial") == [0, 1, 0.02]
    assert numbers(xmp, "Camera:PrincipalPoint") == [96, 64]
    assert numbers(xmp, "Camera:PerspectiveFocalLength") == [6000]


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

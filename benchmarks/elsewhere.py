"""What the same pictures and networks score by other software, so that tables can be compared.

    pip install piq sewar opencv-python-headless thop torchinfo
    python benchmarks/elsewhere.py --data Set5

Three tables in Markdown: PSNR and SSIM on Y of bicubic x4 by several packages as they come;
PSNR-Y of a trained network x4 whose LR other resizers made; MACs of a deconvolution.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch
from PIL import Image
from skimage.metrics import structural_similarity
from skimage.transform import resize as resize_by_scikit_image

from srcli import upscale
from srcli.evaluation.pairs import read_picture
from srcli.evaluation.sets import find_set
from srcli.imaging.pixels.arrays import Array
from srcli.imaging.pixels.resize import downscale, mod_crop
from srcli.imaging.pixels.values import luma
from srcli.metrics.fidelity import psnr, ssim

SCALE = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="Set5")
    parser.add_argument("--model", default="g-idrn")
    arguments = parser.parse_args()
    pictures = []
    for item in find_set(arguments.data, SCALE).items:
        picture, _ = read_picture(item.path)
        pictures.append(mod_crop(picture, SCALE))
    print_measures(pictures)
    print_kernels(pictures, arguments.model)
    print_macs()


def as_levels(picture: Array) -> Array:
    """Return Y in levels of 255, not rounded, without a border of ``SCALE`` pixels."""
    return luma(picture)[SCALE:-SCALE, SCALE:-SCALE]


def print_measures(pictures: list[Array]) -> None:
    """Print SSIM of bicubic x4 on Y by several packages, each as it comes."""
    import piq
    from sewar.full_ref import ssim as ssim_of_sewar

    def by_piq(first: Array, second: Array, *, downsample: bool) -> float:
        both = [torch.from_numpy(each)[None, None].float() for each in (first, second)]
        return float(piq.ssim(*both, data_range=255.0, downsample=downsample))

    measures: dict[str, Callable[[Array, Array], float]] = {
        "srx (Wang et al., as MATLAB)": ssim,
        "piq.ssim": lambda a, b: by_piq(a, b, downsample=True),
        "piq.ssim, downsample=False": lambda a, b: by_piq(a, b, downsample=False),
        "sewar.ssim": lambda a, b: ssim_of_sewar(rounded(a), rounded(b))[0],
        "scikit-image": lambda a, b: structural_similarity(a, b, data_range=255.0),
        "scikit-image, gaussian_weights, sigma=1.5, use_sample_covariance=False": (
            lambda a, b: structural_similarity(
                a,
                b,
                data_range=255.0,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
        ),
    }
    print("| SSIM of bicubic x4 by | mean |\n| --- | ---: |")
    for name, measure in measures.items():
        values = []
        for picture in pictures:
            larger = upscale(downscale(picture, SCALE), "bicubic", SCALE)
            values.append(measure(as_levels(picture), as_levels(larger)))
        print(f"| {name} | {np.mean(values):.4f} |")


def rounded(levels: Array) -> Array:
    return np.rint(levels).astype(np.uint8)


def print_kernels(pictures: list[Array], model: str) -> None:
    """Print PSNR-Y of a network by who has made its LR."""
    import cv2

    def by_pillow(picture: Array, size: tuple[int, int]) -> Array:
        image = Image.fromarray(picture)
        return np.asarray(image.resize(size, Image.Resampling.BICUBIC))

    def by_scikit_image(picture: Array, size: tuple[int, int]) -> Array:
        smaller = resize_by_scikit_image(
            picture, size[::-1], order=3, anti_aliasing=True
        )
        return np.rint(smaller * 255).clip(0, 255).astype(np.uint8)

    resizers: dict[str, Callable[[Array, tuple[int, int]], Array]] = {
        "MATLAB's imresize (srx)": lambda picture, _: downscale(picture, SCALE),
        "Pillow, BICUBIC": by_pillow,
        "OpenCV, INTER_CUBIC": lambda p, s: cv2.resize(
            p, s, interpolation=cv2.INTER_CUBIC
        ),
        "OpenCV, INTER_AREA": lambda p, s: cv2.resize(
            p, s, interpolation=cv2.INTER_AREA
        ),
        "scikit-image, resize(order=3, anti_aliasing=True)": by_scikit_image,
    }
    print(f"\n| LR by | PSNR-Y of {model} x4, dB | difference |\n| --- | ---: | ---: |")
    first = None
    for name, shrink in resizers.items():
        values = []
        for picture in pictures:
            height, width = picture.shape[:2]
            lr = np.ascontiguousarray(
                shrink(picture, (width // SCALE, height // SCALE))
            )
            sr = upscale(lr, model, SCALE, precision="fp32")
            values.append(psnr(as_levels(picture), as_levels(sr)))
        mean = float(np.mean(values))
        first = mean if first is None else first
        print(f"| {name} | {mean:.2f} | {mean - first:+.2f} |")


def print_macs() -> None:
    """Print MACs of a deconvolution of 9x9 and stride 4, as in FSRCNN, by who counts."""
    from thop import profile
    from torchinfo import summary

    height, width = 64, 64
    layer = torch.nn.ConvTranspose2d(56, 1, 9, stride=4, padding=4, output_padding=3)
    x = torch.zeros(1, 56, height, width)
    true = 56 * 81 * height * width
    by_thop, _ = profile(layer, inputs=(x,), verbose=False)
    by_torchinfo = summary(layer, input_data=x, verbose=0).total_mult_adds
    counts = {"each weight once for each input pixel (srx)": true, "thop": by_thop}
    counts["torchinfo"] = by_torchinfo
    print(
        "\n| MACs of FSRCNN's deconvolution x4 by | millions | times |\n| --- | ---: | ---: |"
    )
    for name, count in counts.items():
        times = Fraction(int(count), true)
        print(f"| {name} | {count / 1e6:.1f} | {float(times):.2f} |")


if __name__ == "__main__":
    main()

"""How well networks enlarge the test picture that weights files of others are tried on.

    python benchmarks/value_ranges.py
    python benchmarks/value_ranges.py IMDN_x4.pth RFDN_AIM.pth

A line for every file and scale: PSNR in dB of the picture and its enlargement made
small again, with white as 1 and as 255 inside the network. Without files, of all
shipped weights and bicubic.
"""

from __future__ import annotations

import sys
from pathlib import Path

from srcli.models.loading import load_model
from srcli.models.readings import RANGES, consistency
from srcli.models.recognition import find_matches
from srcli.models.storage import read_weights
from srcli.models.weights import weights_dir


def main() -> None:
    files = [Path(name) for name in sys.argv[1:]] or sorted(
        weights_dir().glob("*.safetensors")
    )
    print("file, scale: white 1, white 255")
    for path in files:
        tensors, info, *_ = read_weights(path)
        for scale in (
            [info.scale]
            if info
            else [each.info.scale for each in find_matches(tensors)]
        ):
            found = []
            for white in RANGES:
                network = load_model(str(path), scale, value_range=1)
                network.white = white
                found.append(f"{consistency(network):.2f}")
            print(f"{path.name}, x{scale}: {', '.join(found)}")
    if len(sys.argv) == 1:
        print(f"bicubic, x4: {consistency(load_model('bicubic', 4)):.2f}")


if __name__ == "__main__":
    main()

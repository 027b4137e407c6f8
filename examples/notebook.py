# %% [markdown]
# # Super-resolution in Python
#
# Upscale a photograph, compare it with bicubic interpolation, measure both on a set of pictures and
# look into the network. VS Code, PyCharm and Jupyter (by jupytext) open this file as a notebook;
# `python examples/notebook.py` runs it as a script.

# %%
from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from skimage import data

import srcli
from srcli.imaging.pixels.resize import downscale
from srcli.metrics.efficiency import count_parameters, count_work
from srcli.metrics.fidelity import PROTOCOLS
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.report import evaluation_report
from srcli.pipelines.evaluate.run import evaluate
from srcli.report.table import markdown

MODEL, SCALE = "rrlfn", 2

# %% [markdown]
# ## A photograph, made smaller
#
# LR is made from HR by MATLAB's bicubic kernel, as in the benchmarks of the field.

# %%
hr = data.astronaut()[:192, 130:322]
lr = downscale(hr, SCALE)
print(f"HR {hr.shape}, LR {lr.shape}, {hr.dtype}")

# %% [markdown]
# ## Upscale it
#
# An array gives an array, a PIL image gives a PIL image, and so does the path of a file:
# `srcli.upscale("photo.jpg").save("larger.png")`. `progress=True` draws a bar.

# %%
bicubic = srcli.upscale(lr, model="bicubic", scale=SCALE)
sr = srcli.upscale(lr, model=MODEL, scale=SCALE, progress=True)

# %% [markdown]
# ## PSNR and SSIM
#
# By the protocol `y`, as in tables since about 2018: Y of YCbCr, with a border of `SCALE` pixels
# left out.

# %%
for name, picture in {"bicubic": bicubic, MODEL: sr}.items():
    psnr, ssim = PROTOCOLS["y"].score(picture, hr, SCALE)
    print(f"{name}: PSNR {psnr:.2f} dB, SSIM {ssim:.4f}")

# %% [markdown]
# ## Crops side by side
#
# From left to right: LR, bicubic interpolation, the network, HR.

# %%
nearest = lr.repeat(SCALE, axis=0).repeat(SCALE, axis=1)
crops = np.hstack([each[70:134, 60:124] for each in (nearest, bicubic, sr, hr)])
comparison = Image.fromarray(crops.repeat(4, axis=0).repeat(4, axis=1))
comparison.save("comparison.png")
comparison  # noqa: B018 - notebooks show the last value of a cell

# %% [markdown]
# ## An evaluation
#
# The same as `srx eval`: a set is a folder of HR pictures, and further models are compared with the
# first one. `evaluate(["bicubic", "g-idrn"])` alone takes whole photographs of scikit-image.

# %%
with TemporaryDirectory() as folder:
    crops_folder = Path(folder) / "crops"
    crops_folder.mkdir()
    for name in ("astronaut", "chelsea", "coffee"):
        Image.fromarray(getattr(data, name)()[:96, :128]).save(
            crops_folder / f"{name}.png"
        )
    options = EvalOptions(metrics=("psnr", "ssim"), costs=False)
    result = evaluate(
        ["bicubic", MODEL], [str(crops_folder)], scales=[SCALE], options=options
    )
print(markdown(evaluation_report(result)))

# %% [markdown]
# ## The network
#
# An `nn.Module` in evaluation mode that takes and gives (N, 3, H, W) in [0, 1].

# %%
network = srcli.load_model(MODEL, scale=SCALE)
macs = count_work(network)["conv_macs"] / 1e9
print(
    f"{count_parameters(network):,} parameters, {macs:.1f} GMACs for 256x256 LR pixels"
)
for name, part in network.named_children():
    print(f"  {name}: {type(part).__name__}, {count_parameters(part):,} parameters")

with torch.inference_mode():
    x = torch.from_numpy(lr).permute(2, 0, 1)[None].float() / 255
    print(tuple(x.shape), "->", tuple(network(x).shape))

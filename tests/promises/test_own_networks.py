"""Networks and losses of users' own code: they do all that ours do, and run only where named."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from srcli import models, upscale
from srcli.errors import ModelError
from srcli.models.loading import load_model
from srcli.models.storage import read_weights, save_weights
from srcli.models.weights import WeightsInfo, weights_path
from srcli.recipes.plugins import NAMED_CODE, allow_code, installed_plugins
from tests.fixtures.pictures import size_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_network.py"
SMALL_BATCHES = "--set stages.0.patch=8 --set stages.0.batch=2"
QUICK = f"{SMALL_BATCHES} --set network.width=8"
SMALL = """
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self, scale=2):
        super().__init__()
        self.scale = scale
        self.conv = nn.Conv2d(3, 3, 1)
    def forward(self, x):
        return F.interpolate(self.conv(x), scale_factor=self.scale)
"""


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch, astronaut):
    """A folder with mynet.py, photographs and one of them alone; nothing is named yet."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    shutil.copy(EXAMPLE, "mynet.py")
    Path("photos").mkdir()
    for number in range(3):
        patch = np.ascontiguousarray(astronaut[30 * number :][:48, :64])
        Image.fromarray(patch).save(f"photos/{number}.png")
    shutil.copy("photos/0.png", "photo.png")
    return tmp_path


def train(srx, *options, network="mynet.py:Net", out="run", code=0):
    data = ["--data", "photos", "--out", out]
    return srx("train", network, "-s 2", *data, *options, code=code)


def read_json(path):
    return json.loads(Path(path).read_text("utf-8"))


@pytest.fixture
def trained(srx, monkeypatch):
    """Weights of mynet.py, trained for some iterations; its code is not named any more."""
    train(srx, f"--budget 6 {QUICK}")
    monkeypatch.setenv(NAMED_CODE, "")
    return "run/last.safetensors"


def test_it_is_trained_resumed_measured_timed_exported_and_enlarges(srx, trained):
    model = f"mynet.py:Net@{trained}"
    srx(f"upscale photo.png larger.png -m {model}", code=0)
    srx("train mynet.py:Net --resume run --budget 10", code=0)
    assert read_json("run/recipe.json")["network"] == {"width": 8}
    # first by other weights, then it is there
    for state in ("1 done", "0 done, 1 skipped"):
        assert state in srx(f"upscale photo.png larger.png -m {model}", code=0).out
    assert size_of("larger.png") == (128, 96)
    here = shutil.copy(trained, "last.safetensors")
    models = ("-m", f"mynet.py:Net@{here}", "-m bicubic --save-images sr")
    assert (
        "bicubic"
        in srx("eval", *models, "--data photos --metrics psnr --no-cost", code=0).out
    )
    assert not [*Path("sr").rglob("*:*")]  # which Windows takes in no name
    timed = srx(f"bench -m {model} -m mynet.py:Net --size 16x16 --rounds 1", code=0)
    assert "mynet.py:Net x2: there are no weights" in timed.err
    srx(f"compare photo.png sheet.png -m {model} -s 2", code=0)
    srx(f"export net.pt -m {model}", code=0)
    assert "width=8" in srx(f"models {model}", code=0).out


@pytest.mark.parametrize(("model", "count"), [("rrlfn", 0), ("mynet.py:Net", 1)])
def test_for_it_alone_torch_is_imported_with_what_compilers_need(model, count):
    command = [sys.executable, "-X", "importtime", "-m", "srcli", "upscale"]
    result = subprocess.run(
        [*command, "photo.png", "out", "-m", model], capture_output=True, check=False
    )
    assert result.stderr.count(b" torch._C\n") == 1
    assert result.stderr.count(b" torch._meta_registrations\n") == count


def test_its_weights_are_those_of_the_module_itself_and_load_wherever_the_code_lies(
    trained,
):
    shutil.move("mynet.py", "photos/other.py")
    network = load_model(f"photos/other.py:Net@{trained}")
    tensors = load_file(trained)
    assert tensors.keys() == network.state_dict().keys()
    assert "body.0.weight" in tensors
    torch.save(tensors, "plain.pth")  # as its own code would have saved them
    with pytest.raises(ModelError, match=r"plain.pth: does not fit .*of another shape"):
        load_model("photos/other.py:Net@plain.pth", 2)  # of the width by default


def test_variants_set_its_keyword_arguments(srx):
    Path("widths.toml").write_text("""
[[ablation]]
name = "width"
question = "Is it too wide?"
recipe = "mynet.py:Net"
scale = 2
base = "4"
variants = [
  { name = "4", sentence = "narrow", changes = { "network.width" = 4 } },
  { name = "6", sentence = "wide", changes = { "network.width" = 6 } },
]
""")
    command = f"ablate run widths.toml --data photos --budget 2 {SMALL_BATCHES}"
    assert "is code that only a file names" in srx(command, code=2).err
    shown = srx(command, "--set model=mynet.py:Net --json -", code=0).out
    counts = [
        variant["cost"]["parameters"] for variant in json.loads(shown)[0]["variants"]
    ]
    assert counts[0] < counts[1]


def test_a_loss_of_ones_own_and_names_alone_are_losses_of_a_recipe(srx):
    Path("own.py").write_text(
        "from torch import nn\n"
        "class Loss(nn.Module):\n"
        "    def __init__(self, power=1): super().__init__(); self.power = power\n"
        "    def forward(self, sr, hr, lr): return lr.max() * ((sr - hr) ** self.power).mean()\n"
        "class Map(Loss):\n"
        "    def forward(self, sr, hr): return sr - hr\n"
    )
    own_loss = {"name": "own.py:Loss", "options": {"power": 2}}
    losses = "stages.0.losses=" + json.dumps(["charbonnier", "ssim", own_loss])
    quick = ["--budget 1", QUICK.replace("patch=8", "patch=12"), "--set"]
    train(srx, *quick, losses)
    stage = read_json("run/recipe.json")["stages"][0]
    assert stage["losses"][2] == {"weight": 1.0, **own_loss}
    for loss, why in (
        ("own.py:Map", "gives no single number"),
        ("own.py:nn", "has no class 'nn'"),
    ):
        refused = train(srx, *quick, f"stages.0.losses={loss}", out="other", code=2)
        assert why in refused.err


def test_networks_and_losses_of_packages_are_named_by_module_and_class(srx, work):
    package = work / "site" / "tinynets"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "arch.py").write_text(EXAMPLE.read_text())
    (package / "losses.py").write_text(
        "from torch import nn\nclass Edges(nn.L1Loss):\n    pass\n"
    )
    sys.path.insert(0, str(work / "site"))
    loss = '--set stages.0.losses=["l1",{"name":"tinynets.losses:Edges","weight":0.5}]'
    train(srx, f"--budget 1 {QUICK}", loss, network="tinynets.arch:Net")
    model = "tinynets.arch:Net@run/last.safetensors"
    srx(f"eval -m {model} --data photos --metrics psnr --no-cost", code=0)
    for network, losses, missing in (
        ("no.such:Net", "l1", "no.such"),
        ("tinynets.arch:Net", "nosuch:LPIPS", "nosuch"),
    ):
        setting = f"--set stages.0.losses={losses}"
        refused = train(srx, setting, network=network, out="new", code=2).err
        assert f"{missing}: cannot be imported; install its package, or" in refused
        assert f"'from {missing} import " in refused


NEEDY = """
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self, dim, heads=1, *, scale=2, gain=1.0):
        super().__init__()
        self.scale = scale
        self.gain = gain
        self.body = nn.Conv2d(3, dim, 1, bias=False)
        self.tail = nn.Conv2d(dim, 3, 1, bias=False)
    def forward(self, x):
        return F.interpolate(self.gain * self.tail(self.body(x)), scale_factor=self.scale)
"""
SET = "--set network.dim=3"


@pytest.fixture
def needy(work):
    """A network whose constructor needs an argument, with plain weights."""
    Path("needy.py").write_text(NEEDY)
    eye = torch.eye(3).view(3, 3, 1, 1)
    torch.save({"body.weight": eye, "tail.weight": eye}, "w.pth")
    return "needy.py:Net@w.pth"


def test_arguments_of_its_constructor_are_set_in_every_command(srx, needy):
    commands = (
        ("upscale photo.png out.png -s 2",),
        ("eval --data photos -s 2 --metrics psnr --no-cost",),
        ("compare photo.png sheet.png -s 2",),
        ("bench --size 16x16 --rounds 1 -s 2",),
        ("export net.pt -s 2",),
    )
    for command in commands:
        refused = srx(*command, f"-m {needy}", code=2).err
        assert "needy.py:Net: needs dim; give --set network.dim=VALUE" in refused
        srx(*command, f"-m {needy} {SET}", code=0)
    shown = srx(f"models {needy} -s 2 {SET} --json -", code=0).out
    assert json.loads(shown)[0]["network"]["options"] == {
        "heads": 1,
        "gain": 1.0,
        "dim": 3,
    }
    assert (
        "needs dim; give"
        in train(srx, "--budget 1", network="needy.py:Net", code=2).err
    )
    other = srx(
        f"upscale photo.png new.png -s 2 -m {needy} --set network.dim=4", code=2
    )
    assert "build it as it was trained" in other.err


SWITCHED = """
import torch
from torch import nn

class Net(nn.Module):
    needs_weights = False
    def __init__(self, scale=2, flip=True, parts=("up",), limit=1.0):
        super().__init__()
        self.scale = scale
        self.options = (flip, tuple(parts), limit)
    def forward(self, x):
        if self.options != (False, ("a", "b"), None):
            raise ValueError(self.options)
        torch.fft.rfft2(x)
        return nn.functional.interpolate(x, scale_factor=self.scale)
"""


def test_values_as_python_spells_them_reach_the_constructor(srx):
    Path("switched.py").write_text(SWITCHED)
    command = "models switched.py:Net -s 2 --set network.limit=None --set"
    parts = 'network.parts=["a","b"]'
    shown = srx(command, parts, "--set network.flip=False", code=0).out
    assert "not counted" in shown
    assert "_fft_r2c" in shown
    refused = srx(command, parts, "--set network.flip=off", code=2).err
    assert "switched.py:Net: flip must be true or false, got 'off'" in refused


def test_pictures_by_other_arguments_are_made_again(srx, needy):
    gains = []
    for setting in ("1.0", "1.0", "0.5"):
        command = f"upscale photo.png out.png -s 2 -m {needy} {SET}"
        shown = srx(f"{command} --set network.gain={setting}", code=0).out
        with Image.open("out.png") as picture:
            gains.append((shown[:6], np.asarray(picture).mean()))
    (first, bright), (again, _), (changed, dark) = gains
    assert (first, again, changed) == ("1 done", "0 done", "1 done")
    assert dark == pytest.approx(bright / 2, rel=0.01)


def test_arguments_stand_in_the_name_of_a_network_too(srx, needy):
    network = load_model("needy.py:Net(dim=3, gain=0.25)@w.pth", 2)
    white = torch.ones(1, 3, 8, 8)
    assert float(network(white).detach().mean()) == pytest.approx(0.25)
    for name, words in (("(3)", "give NAME=VALUE"), ("(dim=f())", "give NAME=VALUE")):
        with pytest.raises(ModelError, match=words):
            load_model(f"needy.py:Net{name}@w.pth", 2)
    for options in ("-m g-idrn --set network.dim=3", f"-m {needy} --set dim=3"):
        assert "network" in srx("upscale photo.png a.png", options, code=2).err


# What follows is a promise of security: a file alone never decides what code is run.


@pytest.fixture
def evil():
    """Code that leaves a mark where it is imported, which fails the test."""
    mark = Path("imported").absolute()
    Path("evil.py").write_text(f"open({str(mark)!r}, 'w')\n" + SMALL)
    yield "evil.py:Net"
    assert not mark.exists()


def test_code_that_a_weights_file_names_is_not_run(srx, evil, trained):
    save_weights(
        Path("best.safetensors"), load_file(trained), WeightsInfo(model=evil, scale=2)
    )
    for command in (
        ("upscale", "photo.png", "out.png", "-m", "best.safetensors"),
        ("eval", "-m", "best.safetensors", "--data", "photos"),
        ("bench", "-m", "best.safetensors", "--size", "16x16"),
        ("export", "out.onnx", "-m", "best.safetensors"),
        ("compare", "photo.png", "out.png", "-m", "best.safetensors", "-s", 2),
        ("models", "best.safetensors"),
    ):
        words = (
            "best.safetensors: evil.py:Net is code that only a file names.* "
            "-m evil.py:Net@WEIGHTS"
        )
        assert re.search(words, srx(*command, code=2).err)
    # Its tensors alone are a start of another network, and need no code.
    train(srx, f"--init best.safetensors --budget 1 {QUICK}", out="further")


def test_code_that_a_recipe_or_a_folder_names_is_not_run(srx, evil, trained):
    recipe = read_json("run/recipe.json")
    losses = [{"name": evil}]
    stage = {**recipe["stages"][0], "losses": losses}
    for name, changes in (("net", {"model": evil}), ("loss", {"stages": [stage]})):
        Path(f"{name}.json").write_text(json.dumps({**recipe, **changes}))
        code = ["--set", "model=mynet.py:Net"] if name == "loss" else []
        refused = train(
            srx, "--budget 1", *code, network=f"{name}.json", out="new", code=2
        )
        assert "evil.py:Net is code that only a file names" in refused.err
    shutil.copy("net.json", "run/recipe.json")
    options = read_json("run/options.json")
    options["overrides"] = [f"model={evil}"]  # as if it had been given
    Path("run/options.json").write_text(json.dumps(options))
    for given in ([], ["mynet.py:Net"]):
        refused = srx("train", *given, "--resume run", code=2)
        assert "evil.py:Net is code that only a file names" in refused.err


def test_what_is_named_is_not_exchanged_for_code_of_that_name_elsewhere(
    srx, evil, trained
):
    recipe = read_json("run/recipe.json") | {"model": "away/mynet.py:Net"}
    Path("away").mkdir()
    shutil.copy("evil.py", "away/mynet.py")
    Path("new.json").write_text(json.dumps(recipe))
    train(srx, "--budget 1 --set model=mynet.py:Net", network="new.json", out="new")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "import json\njson.loads('no such text')",
            "imported (mynet.py, line 2: JSONDecodeError: Exp",
        ),
        ("import sys\nsys.exit(3)", "imported (mynet.py, line 2: SystemExit: 3"),
        ("def f(:", "mynet.py: cannot be imported (SyntaxError: invalid syntax"),
        ("Nett = 3", "mynet.py: has no class 'Net' (did you mean Nett?)"),
        ("Net = 3", "mynet.py: has no class 'Net'"),
        (
            "from fractions import Fraction as Net",
            "mynet.py:Net: is no torch.nn.Module",
        ),
        (f"{SMALL}\n    colour = 'yuv'", "colour of mynet.py:Net must be rgb or luma"),
        (f"{SMALL}\n    edge = 'a'", "edge of mynet.py:Net must be a whole number"),
        (
            f"{SMALL}\n    multiple_of = 0",
            "multiple_of of mynet.py:Net must be a whole",
        ),
        (f"{SMALL}\n    multiple_of = 5", "takes sides that divide by 5, from 1 on"),
        (
            SMALL.replace("super()", "(1 / 0)"),
            "Net: cannot be built (mynet.py, line 7: Zero",
        ),
        (
            SMALL.replace("self.scale)", "self.scale + 1)"),
            "gives (1, 3, 72, 144) for a picture",
        ),
        (SMALL.replace("return ", "return x, "), "gives tuple, not one tensor"),
        (
            SMALL.replace("return ", "return self.training or "),
            "gives bool in training, not",
        ),
        (
            SMALL.replace("return ", "return 0 * None, "),
            "fails (mynet.py, line 11: TypeError",
        ),
    ],
)
def test_code_that_cannot_be_used_is_told_of_in_one_line(srx, code, words):
    Path("mynet.py").write_text(code)
    refused = train(srx, "--budget 1 --set stages.0.patch=8 -q", code=2).err
    assert words in refused
    assert refused.count("\n") == 1


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            "mynet.py:Net",
            "has no trained weights; train it by srx train mynet.py:Net -s 2",
        ),
        ("mynet.py:Net@run/none.pth", "run/none.pth: no such weights file"),
        ("gone.py:Net@run/last.safetensors", "gone.py: no such file"),
        ("no.such:Net@run/last.safetensors", "no.such: cannot be imported; install"),
        (
            "changed.py:Net@run/last.safetensors",
            "last.safetensors: does not fit changed.py:Net",
        ),
        (
            "less.py:Net@run/last.safetensors",
            "no option 'width' in less.py:Net; it takes none",
        ),
    ],
)
def test_weights_without_their_code_and_code_without_weights_are_refused(
    srx, trained, model, words
):
    Path("changed.py").write_text(EXAMPLE.read_text().replace("self.head", "self.tail"))
    Path("less.py").write_text(SMALL)
    for command in (("upscale", "photo.png", "out.png"), ("eval", "--data", "photos")):
        assert words in srx(*command, f"-m {model} -s 2", code=2).err


# as checkpoints have others
@pytest.mark.parametrize("name", ["net", "generator", "ema"])
def test_what_was_saved_of_it_loads_whatever_its_layers_are_called(srx, name):
    layer = SMALL.replace(
        "nn.Conv2d(3, 3, 1)", "nn.ModuleDict({'a': nn.Conv2d(3, 3, 1)})"
    )
    code = layer.replace(
        "self.conv(x)", "self.conv['a' if len(x[0, 0]) < 40 else 'b'](x)"
    )
    Path("mynet.py").write_text(code.replace("conv", name))
    torch.save(
        {f"{name}.a.weight": torch.ones(3, 3, 1, 1), f"{name}.a.bias": torch.zeros(3)},
        "w.pth",
    )
    train(srx, f"--budget 1 {SMALL_BATCHES} --hold-out 0 --init w.pth")
    failed = srx("upscale photo.png o.png -m mynet.py:Net@w.pth -s 2", code=2)
    assert (
        "photo.png: mynet.py:Net fails (mynet.py, line 11: KeyError: 'b')" in failed.err
    )


def test_what_it_prints_while_it_is_imported_spoils_no_result(srx):
    Path("mynet.py").write_text("print('hello')\n" + SMALL)
    options = ["--size", "16x16", "--rounds", 1, "--json", "-"]
    assert json.loads(srx("bench -m mynet.py:Net -s 2", *options, code=0).out)


def test_needs_are_declared_and_the_scale_is_found(srx):
    Path("unet.py").write_text("""
import torch
from torch import nn
from helper import double

class Net(nn.Module):
    multiple_of = 4
    def forward(self, x):
        small = nn.functional.avg_pool2d(x, 4)
        return double(torch.cat([nn.functional.interpolate(small, scale_factor=4), x])[-len(x):])

class Luma(Net):
    colour = "luma"
    edge = 3
""")
    Path("helper.py").write_text(
        "def double(x): return x.repeat_interleave(2, 2).repeat_interleave(2, 3)"
    )
    network = load_model("unet.py:Net")  # has no parameters: needs no training
    assert (network.scale, network.multiple_of, network.colour) == (2, 4, "rgb")
    luma = load_model("unet.py:Luma")
    assert (luma.colour, luma.edge) == ("y", 3)
    with Image.open("photo.png") as photo:
        photo.crop((0, 0, 13, 9)).save("odd.png")
    for name in ("Net", "Luma"):
        srx(f"upscale odd.png {name}.png -m unet.py:{name}", code=0)
        assert size_of(f"{name}.png") == (26, 18)
    assert "not 3 times" in srx("upscale odd.png x.png -m unet.py:Net -s 3", code=2).err


def test_code_that_holds_to_one_size_is_exported_for_one(srx):
    call = "x = x + torch.zeros(int(x.shape[2]), 1)\n        return"
    Path("mynet.py").write_text("import torch\n" + SMALL.replace("return", call))
    command = f"export net.pt -s 2 -m mynet.py:Net@{save_small()}"
    assert "takes pictures of 256x256 alone" in srx(command, code=0).out
    transform = SMALL.replace("(x),", "(x) + torch.fft.fft2(x).real,")
    Path("other.py").write_text(f"import torch\n{transform}")
    refused = srx(f"export net.onnx -s 2 -m other.py:Net@{save_small()}", code=2)
    assert "cannot be written as onnx (Exporting the operator" in refused.err
    assert (refused.out, refused.err.count("\n")) == ("", 1)


def test_messages_name_the_code_that_is_needed(srx, monkeypatch):
    monkeypatch.setattr(
        "srcli.cli.train.stop_signals", lambda **_: nullcontext(lambda: True)
    )
    stopped = train(srx, f"--budget 9 {QUICK}", code=130)
    assert "go on with srx train mynet.py:Net --resume run" in stopped.out + stopped.err
    save_small()
    unknown = srx("upscale photo.png out.png -m small.pth", code=2).err
    assert "with the code of its network: -m FILE.py:CLASS@small.pth" in unknown


def save_small():
    """Weights of the network of SMALL."""
    tensors = {"conv.weight": torch.zeros(3, 3, 1, 1), "conv.bias": torch.zeros(3)}
    torch.save(tensors, "small.pth")
    return "small.pth"


def test_one_that_needs_larger_pictures_is_told_how_to_say_so(srx):
    call = "assert len(x[0, 0]) > 199\n        return"
    Path("mynet.py").write_text(SMALL.replace("return", call))
    refused = srx("bench -m mynet.py:Net -s 2 --size 16x16", code=2).err
    assert (
        "its needs are attributes of its class: colour, minimum, multiple_of" in refused
    )


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
def test_layers_that_ours_do_not_have_are_trained_and_enlarge_as_they_stand(
    srx, astronaut
):
    Path("layers.py").write_text("""
import torch
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self, scale=2, rates=(0.1, 0.2)):
        super().__init__()
        self.rate = torch.linspace(*rates, 2)[1].item()  # no number on the meta device
        conv = nn.Conv2d(3, 12, 3, padding="same")
        self.body = nn.Sequential(conv, nn.ReLU(), nn.BatchNorm2d(12))
        self.tied = nn.Conv2d(3, 12, 3, padding="same")
        self.tied.weight = self.body[0].weight
        self.last = nn.utils.weight_norm(nn.Conv2d(12, 12, 1))

    def forward(self, x):
        x.unflatten(2, (-1, 8)), x.unflatten(3, (-1, 8))
        maps = [layer(x) for layer in (self.body[0], self.tied)]  # not what the ReLU makes of it
        maps.append(F.dropout(self.body(x), self.rate, self.training))
        return F.pixel_shuffle(self.last(sum(maps)), 2)
""")
    options = f"--budget 3 {SMALL_BATCHES} --hold-out 0"
    train(srx, options, network="layers.py:Net")
    network = load_model("layers.py:Net@run/last.safetensors")
    x = torch.from_numpy(astronaut[:64, :64]).movedim(2, 0)[None] / 255
    with torch.inference_mode():
        expected = (network(x)[0].movedim(0, 2).clamp(0, 1) * 255).round().numpy()
    enlarged = upscale(astronaut[:64, :64], "layers.py:Net@run/last.safetensors")
    assert np.abs(enlarged.astype(int) - expected)[8:-8, 8:-8].max() <= 1


@pytest.fixture
def find_packages(monkeypatch):
    """Look for installed packages again, which otherwise is done once in a process."""
    installed_plugins.cache_clear()
    yield lambda: [
        monkeypatch.setitem(models.MODELS, name, entry)
        for name, entry in models._read_table().items()
    ]
    installed_plugins.cache_clear()


def test_installed_packages_add_networks_losses_and_recipes(srx, work, find_packages):
    info = work / "site" / "tiny-1.2.dist-info"
    info.mkdir(parents=True)
    recipe = "\nRECIPE = {'model': 'tiny-net', 'validate_every': 7}\n"
    (work / "site" / "tiny.py").write_text(SMALL + recipe)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[srcli.networks]\ntiny-net = tiny:Net\n[srcli.losses]\nhuber = torch.nn:HuberLoss\n"
        "[srcli.recipes]\ntiny-slow = tiny:RECIPE\n"
    )
    train = (
        "train tiny-net -s 2 --data photos --out run --budget 2 --set stages.0.patch=8"
    )
    commands = [
        "models -s 8",  # none of ours, whose work takes seconds to count
        "models tiny-net",
        "train tiny-slow --show",
        f"{train} --set stages.0.batch=2 --set stages.0.losses=l1,huber",
        "upscale photo.png larger.png -m run/last.safetensors",
    ]
    sys.path.insert(0, str(work / "site"))
    find_packages()
    printed = "".join(srx(command, code=0).out for command in commands)
    assert "Networks of installed packages: tiny-net (tiny:Net)" in printed
    assert "network of an installed package" in printed
    assert '"validate_every": 7' in printed
    assert size_of("larger.png") == (128, 96)


TILES = """
import torch.nn.functional as F
from torch import nn

class Plain(nn.Module):
    needs_weights = False
    def __init__(self, scale=2):
        super().__init__()
        self.scale = scale
    def forward(self, x):
        height, width = x.shape[-2:]
        coarse = self.pool(x, height, width)
        sharp = 1.3 * x - 0.3 * F.interpolate(coarse, (height, width), mode="bilinear")
        return F.interpolate(sharp, scale_factor=self.scale, mode="bicubic")
    def pool(self, x, height, width):
        return x

class Steps(Plain):
    def pool(self, x, height, width):
        return F.adaptive_avg_pool2d(x, (height // 8, width // 8))

class Declared(Steps):
    multiple_of = 8

class Pooled(Plain):
    def pool(self, x, height, width):
        return F.adaptive_avg_pool2d(x, 1)

class Uncut(Pooled):
    tiles = False
"""


@pytest.mark.parametrize(
    ("name", "is_told"),
    [
        ("Plain", False),
        ("Steps", True),
        ("Declared", False),
        ("Pooled", True),
        ("Uncut", False),
    ],
)
def test_tiles_that_differ_from_the_whole_picture_are_told(srx, name, is_told):
    Path("mine.py").write_text(TILES)
    told = srx(f"upscale photo.png out.png -m mine.py:{name}", code=0).err
    assert ("warning: mine.py" in told) == is_told
    assert ("multiple_of = 8" in told) == is_told
    assert ("tiles = False" in told) == is_told


def test_weights_that_were_never_trained_are_told(srx):
    torch.manual_seed(0)
    named = models.build_network("rfdn", scale=2)
    torch.save(named.state_dict(), "named.pth")
    allow_code("mynet.py:Net")
    own = models.build_network("mynet.py:Net", scale=2)
    for value in own.parameters():
        torch.nn.init.normal_(value, std=0.3)
    torch.save(own.state_dict(), "own.pth")
    shutil.copy(weights_path("quick", 2), "trained.safetensors")
    for model in ("named.pth", "mynet.py:Net@own.pth", "trained.safetensors"):
        told = srx(f"upscale photo.png out.png -s 2 --overwrite -m {model}", code=0).err
        is_told = f"warning: {model}: may not be trained" in told
        assert is_told == (model != "trained.safetensors")


def test_a_training_begins_from_code_with_weights_as_commands_name_them(srx):
    train(srx, f"--budget 1 {QUICK}")
    shutil.copy("run/best.safetensors", "best.safetensors")
    named = "mynet.py:Net@best.safetensors"
    told = train(srx, f"--init {named} --budget 1 {QUICK}", out="further")
    assert "began from best.safetensors" in told.out + told.err
    told = train(srx, f"--init mynet.py:Net@no.pth {QUICK}", out="no", code=2)
    assert "no.pth" in told.err


def test_hints_after_a_failed_resume_name_commands_that_work(srx):
    Path("own.py").write_text("from torch.nn import L1Loss\nclass Loss(L1Loss): pass\n")
    train(srx, f"--budget 1 {QUICK} --set stages.0.losses=own.py:Loss")

    def hint(command):
        """Forget what was named, and return the command that a refusal names."""
        os.environ[NAMED_CODE] = ""
        refused = srx(command, code=2).err
        os.environ[NAMED_CODE] = ""
        (command,) = re.findall(r"srx (train \S+ --resume) (?:run|RUN)\b", refused)
        return f"{command} run"

    resume = hint("train --resume run --budget 2")
    resume = hint(f"{resume} --budget 2")
    srx(f"{resume} --budget 2", code=0)
    assert hint(f"{resume} --seed 5") == resume
    Path("run/state.safetensors").write_bytes(b"damaged")
    refused = srx(f"{resume} --budget 4", code=2).err
    (start,) = re.findall(r"--init \S+", refused)
    train(srx, f"--budget 1 {QUICK} {start}", out="new")


BLOCK = """
from torch import nn

class Block(nn.Module):
    def __init__(self, channels, ratio=2):
        super().__init__()
        wide = ratio * channels
        layers = [nn.Conv2d(channels, wide, 1), nn.GELU(), nn.Conv2d(wide, channels, 1)]
        self.net = nn.Sequential(*layers)
    def forward(self, x):
        return x + self.net(x)

class All(Block):
    multiple_of = 8
    minimum = 16
    def __init__(self, channels, group_width=0, slope=0, esa_channels=0, units=()):
        named = {name: value for name, value in locals().items() if name[0] not in "_s"}
        named |= {"slope": slope + (esa_channels > 0)}
        super().__init__(channels)
        open("given.txt", "w").write(" ".join(sorted(filter(named.get, named))))
    def forward(self, x):
        return super().forward(x.unflatten(3, (-1, 8)).flatten(3))
"""
SMALL_NETWORKS = {
    "g-idrn": ("channels=16", "num_blocks=2", "num_groups=1"),
    "rrlfn": ("channels=16", "num_blocks=2", "esa_channels=4"),
    "quick": ("channels=16", "depth=3"),
}
GIVEN = {
    "g-idrn": "channels group_width slope",
    "rrlfn": "channels esa_channels slope units",
    "quick": "channels",
}


@pytest.mark.parametrize("name", SMALL_NETWORKS)
def test_a_block_of_ones_own_stands_in_a_network_of_ours(srx, monkeypatch, name):
    Path("blocks").mkdir()
    Path("blocks/mine.py").write_text(BLOCK)
    small = [f"--set network.{setting}" for setting in SMALL_NETWORKS[name]]
    options = ["--budget 1", SMALL_BATCHES, *small]
    rate = "--set stages.0.optimizer.learning_rate=1e-9"
    block = "--set network.block=blocks/mine.py:Block(ratio=3)"
    train(srx, *options, rate, block, network=f"{name}-muon")
    info = read_weights(Path("run/last.safetensors")).info
    assert info
    assert info.network["block"] == "mine.py:Block(ratio=3)"
    monkeypatch.setenv(NAMED_CODE, "")
    refused = srx("upscale photo.png o.png -m run/last.safetensors", code=2).err
    assert "mine.py:Block is code that only a file names" in refused
    by_name = "-m blocks/mine.py:Block@run/last.safetensors"
    by_setting = f"-m run/last.safetensors {block}"
    srx("upscale photo.png first.png", *by_name.split(), code=0)
    srx("upscale photo.png second.png", *by_setting.split(" ", 3), code=0)
    pictures = [Image.open(f"{name}.png").tobytes() for name in ("first", "second")]
    assert pictures[0] == pictures[1]
    results = json.loads(
        srx(
            f"eval {by_name} -m bicubic --data photos -s 2 --metrics psnr --no-cost --json -"
        ).out
    )
    own, bicubic = (mean["psnr"] for mean in results["means"])
    assert abs(own - bicubic) < 3  # it began as bicubic interpolation
    train(
        srx,
        *options,
        "--set network.block=blocks/mine.py:All --set stages.0.patch=16",
        network=f"{name}-muon",
        out="b",
    )
    assert Path("given.txt").read_text() == GIVEN[name]
    srx("upscale photo.png padded.png -m blocks/mine.py:All@b/last.safetensors", code=0)
    assert size_of("padded.png") == (128, 96)


def test_blocks_that_cannot_be_built_are_told_of_in_one_line(srx):
    Path("mine.py").write_text(BLOCK)
    for block, words in (
        ("rfbd", "block must be one of g-idb, rfdb, or your own, FILE.py:CLASS"),
        ("mine.py:Blok", "mine.py: has no class 'Blok' (did you mean Block?)"),
        ("mine.py:Block(ratio='a')", "mine.py:Block: cannot be built (mine.py, line"),
        ("mine.py:Block(rate=1)", "no option 'rate' in mine.py:Block"),
    ):
        setting = f"--set network.block={block}"
        refused = train(srx, "--budget 1 -q", setting, network="g-idrn-muon", code=2)
        assert words in refused.err
        assert refused.err.count("\n") == 1

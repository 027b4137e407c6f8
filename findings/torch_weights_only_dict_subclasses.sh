#!/bin/bash
# torch.load of PyTorch 2.13.0 reads checkpoints with weights_only=True by default, and says that classes which are trusted can be
# allowed by torch.serialization.safe_globals. A plain class can; a class that inherits from dict or list, as settings of
# trainings beside the weights often are, is refused although it is allowed. Seen, of one object beside a tensor:
#   a plain class: read; a subclass of dict: "Can only SETITEM"; a subclass of list: "Can only append"
# What helps: save dict(settings), or read the file once where it comes from and save it anew. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 torch==2.13.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import re

import torch
from torch.serialization import safe_globals


class Plain:
    def __init__(self):
        self.batch = 16


class Settings(dict):
    pass


class Names(list):
    pass


seen = {}
for extra in (Plain(), Settings(batch=16), Names(["a"])):
    torch.save({"weights": torch.zeros(2), "extra": extra}, "checkpoint.pth")
    with safe_globals([Plain, Settings, Names]):
        try:
            torch.load("checkpoint.pth")
            said = "read"
        except Exception as error:
            said = re.search(r"Can only \w+|[^\n]*$", str(error))[0]
    seen[type(extra).__name__] = said
print(seen)
assert seen["Plain"] == "read"
assert seen["Settings"].startswith("Can only SETITEM"), seen
assert seen["Names"].startswith("Can only"), seen
PY

"""`srx models`: names, scales, cards."""

from __future__ import annotations

import json


def test_the_list_names_every_model_with_its_scales(srx):
    result = srx("models")
    assert result.code == 0
    lines = {line.split()[0]: line for line in result.out.splitlines()}
    assert set(lines) >= {"g-idrn", "bicubic"}
    for line in lines.values():
        assert "x2, x3, x4" in line


def test_a_model_shows_parameters_and_measured_table(srx):
    result = srx("models", "g-idrn")
    for word in ("553,638", "564,513", "579,738", "36.182 G", "Set5", "srx eval -m g-idrn -s 4"):
        assert word in result.out


def test_json(srx):
    (entry,) = json.loads(srx("models", "g-idrn", "--json", "-").out)
    assert [card["scale"] for card in entry["cards"]] == [2, 3, 4]
    assert entry["cards"][0]["efficiency"]["parameters"] == 553_638


def test_an_unknown_model_lists_the_known(srx):
    result = srx("models", "gidrn")
    assert result.code == 2
    assert "g-idrn" in result.err

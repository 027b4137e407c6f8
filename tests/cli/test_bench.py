"""`srx bench`: tables, files, clear errors."""

from __future__ import annotations

import json
import re
from operator import itemgetter

import pytest

QUICK = ("-m", "bicubic", "--size", "32x24", "--rounds", 2)


def test_tables_fit_a_narrow_terminal_and_name_the_machine(srx, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = srx("bench", *QUICK, "--precision fp32 --compare plain --threads 1")
    assert result.code == 0, result.err
    assert max(map(len, result.out.splitlines())) <= 80
    for word in (
        "x4, 32x24 to 128x96, 2 rounds",
        "SR MP/s",
        "x plain",
        "parameters",
        "1 thread",
    ):
        assert word in result.out
    fp32, plain = re.findall(".*bicubic.*", result.out)[:2]
    assert fp32.split()[1] == "fp32"
    assert plain.split()[1] == "plain"


def test_json_on_stdout_sends_the_rest_to_stderr(srx):
    result = srx("bench", *QUICK, "-s 2 -s 3 --size 40x8 --json -")
    content = json.loads(result.out)
    assert list(map(itemgetter("scale", "size"), content["speeds"])) == [
        (2, [24, 32]),
        (2, [8, 40]),
        (3, [24, 32]),
        (3, [8, 40]),
    ]
    for speed in content["speeds"]:
        assert (
            0
            < speed["fastest_seconds"]
            <= speed["median_seconds"]
            <= speed["slowest_seconds"]
        )
        assert len(speed["seconds"]) == speed["rounds"] == 2
    assert "SR MP/s" in result.err


def test_files_are_written_and_quiet_says_nothing(srx, tmp_path):
    json_file = tmp_path / "out.json"
    markdown = tmp_path / "out.md"
    files = ("--json", json_file, "--markdown", markdown)
    result = srx("bench", *QUICK, *files, "-q")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert json.loads(json_file.read_text())["machine"].startswith("cpu (")
    assert markdown.read_text(encoding="utf-8").startswith("### x4, 32x24 to 128x96")


@pytest.mark.parametrize(
    "size", ["256", "0x4", "12x", "-3x4", "5x99999", "1.5x2", "3 x 4"]
)
def test_wrong_sizes_are_refused_in_one_line(srx, size):
    result = srx("bench -m bicubic --size", size, code=2)
    (line,) = re.findall(".*Error.*", result.err)
    assert size in line
    assert "WIDTHxHEIGHT" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-m gidrn", "g-idrn"),
        ("-m bicubic --json nowhere/out.json", "nowhere"),
        ("-m bicubic --json - --markdown -", "are both -"),
        ("-m bicubic --tile 20 --overlap 10", "--overlap"),
        ("-m bicubic --device tpu", "--device"),
        ("-m bicubic --compare fancy", "plain"),
    ],
)
def test_wrong_usage_ends_with_code_2(srx, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = srx("bench", *arguments.split(), code=2)
    assert message in result.err
    assert "Traceback" not in result.err


def test_printed_costs_stand_below_ours_with_their_device(srx):
    result = srx("bench", *QUICK, "-m fsrcnn --published --markdown -", code=0)
    assert "| FSRCNN | 13 | – | 2.22 | rrlfn paper, Table 2;" in result.out
    assert "device and pictures not named" in result.out
    result = srx("bench", *QUICK, "--published")
    assert "no paper prints costs of these models" in result.err

"""What a host of the project runs is what README and .ci/run name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def read(name):
    """Return the text of a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def workflow_commands():
    """Return what the steps of the workflow run, each on one line."""
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    commands = []
    for job in workflow["jobs"].values():
        scripts = [step.get("run", "") for step in job["steps"]]
        commands += [" ".join(script.split()) for script in scripts]
    return commands


def test_the_workflow_runs_both_commands_of_the_readme():
    wanted = re.findall("^pip install .* && .*$", read("README.md"), re.MULTILINE)
    assert len(wanted) == 2
    assert set(wanted) <= set(workflow_commands())


def test_the_workflow_runs_the_scripts_that_ci_run_runs():
    scripts = set(
        re.findall(
            r"(?:^|requirements\.lock\" )(\.ci/\w+)", read(".ci/run"), re.MULTILINE
        )
    )
    run = set(re.findall(r"\.ci/\w+", " ".join(workflow_commands())))
    assert run == {".ci/lint", ".ci/package"}
    assert scripts == run | {
        ".ci/cuda",
        ".ci/processors",
    }  # 6 GB; an hour of a slow machine


def names(lines):
    """Return the packages that lines of requirements begin with."""
    return {line.lower().split(">")[0].split("=")[0] for line in lines}


def test_the_lock_has_a_version_of_every_dependency():
    lock = read("requirements.lock")
    needed = tomllib.loads(read("pyproject.toml"))["project"]["dependencies"]
    assert names(needed) <= names(re.findall(r"^\S+==.*", lock, re.MULTILINE))
    assert "://" not in lock  # of a registry


def test_a_bug_report_needs_the_command_and_what_the_doctor_prints():
    form = yaml.safe_load(read(".github/ISSUE_TEMPLATE/bug.yml"))
    required = {
        field["id"] for field in form["body"] if field["validations"]["required"]
    }
    assert required >= {"command", "doctor"}

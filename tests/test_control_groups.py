"""Control groups, as the kernel shows them: of version 1, of version 2 and in containers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from srcli.machine import memory_below_limit, processor_quota


@pytest.fixture
def process(tmp_path):
    """Return a function that writes /proc/self of a process in groups with some files."""

    def write(groups, mounts, files):
        for name, text in files.items():
            file = tmp_path / "cgroup" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        lines = []
        for root, place, kind, options in mounts:
            folder = tmp_path / "cgroup" / place
            lines.append(f"31 23 0:28 {root} {folder} rw - {kind} cgroup {options}")
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc" / "cgroup").write_text(groups)
        (tmp_path / "proc" / "mountinfo").write_text("\n".join(lines))
        return tmp_path / "proc"

    return write


VERSION_2 = [("/", "", "cgroup2", "rw")]


def test_the_least_quota_on_the_way_up_counts(process):
    files = {
        "a/cpu.max": "150000 100000\n",
        "a/b/cpu.max": "400000 100000\n",
        "a/b/c/cpu.max": "max 100000\n",
    }
    assert processor_quota(process("0::/a/b/c\n", VERSION_2, files)) == 1.5


def test_without_a_quota_there_is_none(process):
    groups = "3:cpu,cpuacct:/x\n0::/\n"
    mounts = [("/", "cpu", "cgroup", "rw,cpu,cpuacct"), ("/", "two", "cgroup2", "rw")]
    files = {"cpu/x/cpu.cfs_quota_us": "-1\n", "cpu/x/cpu.cfs_period_us": "100000\n"}
    assert processor_quota(process(groups, mounts, files)) is None


def test_a_container_of_version_1_sees_its_own_group_at_the_upper_end(process):
    groups = "5:memory:/docker/f0\n3:cpu,cpuacct:/docker/f0\n"
    mounts = [
        ("/docker/f0", "cpu", "cgroup", "rw,cpu,cpuacct"),
        ("/docker/f0", "memory", "cgroup", "rw,memory"),
    ]
    files = {
        "cpu/cpu.cfs_quota_us": "50000\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": "1000000\n",
        "memory/memory.usage_in_bytes": "900000\n",
        "memory/memory.stat": "inactive_file 7\ntotal_inactive_file 200000\n",
    }
    here = process(groups, mounts, files)
    assert processor_quota(here) == 0.5
    assert memory_below_limit(here) == 300_000


def test_memory_is_what_the_tightest_group_of_version_2_leaves(process):
    files = {
        "memory.max": "max\n",
        "memory.current": "5000000\n",
        "a/memory.max": "1000000\n",
        "a/memory.current": "800000\n",
        "a/memory.stat": "anon 4\ninactive_file 100000\n",
        "a/b/memory.max": "9000000\n",
        "a/b/memory.current": "700000\n",
    }
    assert memory_below_limit(process("0::/a/b\n", VERSION_2, files)) == 300_000


@pytest.mark.parametrize("text", ["", "lots of words\n", "0 0\n", "-1\n"])
def test_files_that_say_nothing_are_no_limit(process, text):
    here = process("0::/a\n", VERSION_2, {"a/cpu.max": text, "a/memory.max": text})
    assert processor_quota(here) is None
    assert memory_below_limit(here) is None


def test_no_files_are_no_limit(tmp_path):
    assert processor_quota(tmp_path) is None
    assert memory_below_limit(tmp_path) is None


GROUP = Path("/sys/fs/cgroup/cpu/srx-test")


@pytest.fixture
def half_a_processor():
    """A group of this machine's kernel with a quota, where one may be made."""
    try:
        GROUP.mkdir()
    except OSError:
        pytest.skip("no control group can be made here")
    try:
        (GROUP / "cpu.cfs_quota_us").write_text("50000")
        yield GROUP
    finally:
        GROUP.rmdir()


@pytest.mark.slow
def test_a_real_group_with_a_quota_gives_one_thread(half_a_processor):
    code = (
        "import os\n"
        f"open({str(half_a_processor / 'cgroup.procs')!r}, 'w').write('0')\n"
        "from srcli.machine import keep_to_quota, processor_count\n"
        "keep_to_quota()\n"
        "import torch\n"
        "print(processor_count(), torch.get_num_threads())"
    )
    environment = {**os.environ}
    environment.pop("OMP_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["1", "1"]

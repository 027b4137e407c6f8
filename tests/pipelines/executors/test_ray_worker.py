"""Workers of a cluster before their first unit."""

from __future__ import annotations

from srcli.pipelines.executors.ray_worker import enter, visible


def test_a_node_without_the_files_or_with_another_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with visible((tmp_path, tmp_path / "no such model")) as setup:
        (probe,) = setup.paths
        assert probe.exists()
        assert enter(setup) == ""
        probe.unlink()
        assert f"{tmp_path} is not the same there" in enter(setup)
        monkeypatch.setattr("srcli.__version__", "0.0")
        assert enter(setup).startswith("has srcli 0.0 instead of ")

"""Signals: the first asks for an orderly end, the second aborts."""

from __future__ import annotations

import os
import signal

import pytest

from srcli.cli.stopping import StopSignals


def test_the_second_signal_aborts_and_the_handlers_are_given_back():
    before = signal.getsignal(signal.SIGINT)
    with StopSignals() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_before_the_first_question_aborts():
    with StopSignals(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(("silent", "words"), [(False, "once more aborts"), (True, "")])
def test_only_one_of_several_processes_says_that_it_stops(capfd, silent, words):
    with StopSignals(silent=silent) as stop:
        stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
    said = capfd.readouterr().err
    assert words in said if words else said == ""

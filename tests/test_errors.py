"""Errors hold their cause apart from their advice, between processes too."""

from __future__ import annotations

import pickle

from srcli.errors import DataError, ExitCode


def test_a_message_is_reason_and_advice():
    error = DataError("a.png: too small", advice="give a larger one")
    assert (str(error), error.reason) == ("a.png: too small; give a larger one", "a.png: too small")
    assert error.exit_code == ExitCode.USAGE
    plain = DataError("a.png: too small; sorry")
    assert str(plain) == plain.reason == "a.png: too small; sorry"


def test_both_survive_the_way_to_another_process():
    error = pickle.loads(pickle.dumps(DataError("reason", advice="advice")))
    assert (str(error), error.reason) == ("reason; advice", "reason")

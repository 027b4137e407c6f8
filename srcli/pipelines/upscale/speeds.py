"""How fast earlier runs were on this machine, by which a long wait is told beforehand."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from srcli.files import NEW_FILE, cache_folder, parse_text, read_input, write_whole
from srcli.inference.device import choose_device
from srcli.models import MODELS
from srcli.pipelines.upscale.options import CHOICES, FAST
from srcli.quantities import format_duration

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.photographs import Pools
    from srcli.pipelines.upscale.reporter import Reporter

LONG_SECONDS = 120.0
"""Wait that is told beforehand."""
_SPEEDS = "speeds.json"
_MOST_SPEEDS = 50
_LEAST_MEGAPIXELS = 1.0
_FAST_MODELS = ("bicubic", *vars(CHOICES[FAST]).values())
"""Of which nobody waits for long, or could not wait less."""
_LEAST_SECONDS = 10.0
"""Of work, from which on its speed is known."""


def earlier_speeds() -> dict[str, float]:
    """Return the speeds of earlier runs, by what they depend on."""
    with suppress(OSError, ValueError, TypeError, AttributeError):
        speeds = parse_text(read_input(cache_folder() / _SPEEDS).decode())
        return {str(name): float(speed) for name, speed in speeds.items()}
    return {}


def _keep_speed(name: str, speed: float) -> None:
    """Keep the speed of a run, as the latest of its name."""
    speeds = earlier_speeds()
    speeds.pop(name, None)
    speeds[name] = speed
    latest = dict(list(speeds.items())[-_MOST_SPEEDS:])
    with suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        write_whole(cache_folder() / _SPEEDS, json.dumps(latest).encode(), NEW_FILE)


def speed_name(options: Settled) -> str:
    """Return what the speed of a run depends on, in megapixels of output a second."""
    model = f"{options.choice} {options.model}".strip()
    return f"{model} {options.scale} {options.size} {options.engine}"


def _name_of_work(options: Settled) -> str:
    """Return the name of its speed in megapixels that go through the network a second."""
    return f"tiles of {speed_name(options)}"


@dataclass
class WaitForecast:
    """Tells once that a run takes long, and how long the fast model would take.

    By the speed of the last run, or of its own first tiles where that is not known.
    """

    options: Settled
    pools: Pools
    reporter: Reporter

    def __post_init__(self) -> None:
        self.reporter.on_work = self._look
        self._name = _name_of_work(self.options)
        self._speed = earlier_speeds().get(self._name)
        self._started = time.monotonic()
        self._first = 0.0
        """What was done first."""
        self._work = 0.0
        """What was done since, in so many seconds."""
        self._seconds = 0.0
        self._is_told = self.options.model in _FAST_MODELS

    def _look(self, work: float, total: float) -> None:
        """Take note of the megapixels that are done, and of all that are foreseen."""
        self._seconds = time.monotonic() - self._started
        if not self._first:  # it takes longer
            self._first = work
            self._started = time.monotonic()
        self._work = work - self._first
        speed = self._measured_speed or self._speed
        if self._is_told or not speed or total / speed < LONG_SECONDS:
            return
        self._is_told = True
        if choose_device(self.options.engine.device).type != "cpu":
            return
        text = f"without a GPU this takes about {_rounded(total / speed)}"
        fast = self._fast_speed()
        if fast > 2 * speed:
            text += f"; -m fast takes about {_rounded(total / fast)}"
        self.reporter.progress.message(text)

    def keep(self) -> None:
        """Keep the speeds of this run for the next one; short ones tell nothing."""
        megapixels = self.reporter.megapixels
        if self._measured_speed:
            _keep_speed(self._name, self._measured_speed)
        if megapixels >= _LEAST_MEGAPIXELS:
            _keep_speed(speed_name(self.options), megapixels / self.reporter.seconds)

    @property
    def _measured_speed(self) -> float:
        """Megapixels a second of this run; 0 where that is not known yet."""
        if self._seconds < _LEAST_SECONDS:
            return 0.0
        return self._work / self._seconds

    def _fast_speed(self) -> float:
        """Return the speed of the fast model by the last run, or by one tile; 0 without one."""
        model = CHOICES[FAST].clean
        options = replace(self.options, model=model, choice=FAST, strength=None)
        name = _name_of_work(options)
        if speed := earlier_speeds().get(name):
            return speed
        if options.scale not in MODELS[model].scales:
            return 0.0
        from srcli.inference.engines import enlarge_array

        pool = self.pools(model, options.scale)
        side = pool.tiling().tile
        pixels = np.zeros((side, side, 3), np.uint8)
        enlarge_array(pool.engine(8), pixels)  # the first takes longer
        started = time.monotonic()
        enlarge_array(pool.engine(8), pixels)
        speed = side**2 / 1e6 / (time.monotonic() - started)
        _keep_speed(name, speed)
        return speed


def _rounded(seconds: float) -> str:
    """Return a duration, in whole minutes where it is long."""
    if seconds >= LONG_SECONDS:
        seconds = 60 * round(seconds / 60)
    return format_duration(seconds)

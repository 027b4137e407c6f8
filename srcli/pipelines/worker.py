"""A process that does one unit of work: the unit comes in by stdin, events and result go out.

The first line of stdin is ``{"work": "module:function", "unit": {...}}``. The word ``stop``, or the
end of stdin (the parent has died), asks the unit to stop. Each line of stdout is an event; the last
one is ``{"event": "result", "result": {...}}``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from importlib import import_module
from typing import TYPE_CHECKING

from srcli.pipelines.relay import SendingProgress

if TYPE_CHECKING:
    from io import FileIO

    from srcli.ports.executor import Plain, Work


def main() -> int:
    """Do the unit that stdin tells of."""
    # Ctrl-C in the terminal is for the parent, which then says "stop".
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What libraries print must not come between the events.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # Without a buffer: a thread that waits for one would hold up the end of the process.
    orders = os.fdopen(0, "rb", buffering=0, closefd=False)
    order = json.loads(orders.readline())
    stopped = threading.Event()
    threading.Thread(target=_listen, args=(orders, stopped), daemon=True).start()

    def send(event: Plain) -> None:
        events.write(json.dumps(dict(event)) + "\n")
        events.flush()

    result = _find(order["work"])(order["unit"], SendingProgress(send), stopped.is_set)
    send({"event": "result", "result": dict(result)})
    return 0


def _listen(orders: FileIO, stopped: threading.Event) -> None:
    orders.readline()  # "stop", or nothing at the end of the stream
    stopped.set()


def _find(name: str) -> Work:
    module, _, function = name.partition(":")
    work: Work = getattr(import_module(module), function)
    return work


if __name__ == "__main__":
    sys.exit(main())

"""What a batch system's signals do: TERM and INT end the run at once, USR1 and USR2 after the cell in flight."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

TEMPORARY_FAILURE = 75  # sysexits.h EX_TEMPFAIL: schedulers may queue the job again


class Terminated(BaseException):
    """Raised in the main thread by SIGTERM so that `finally` blocks run."""


class StopRequest:
    """Becomes true when SIGUSR1 or SIGUSR2 has come: finish the cell in flight, then stop."""

    def __init__(self):
        self.name = ""

    def __bool__(self) -> bool:
        return bool(self.name)


@contextmanager
def handled() -> Iterator[StopRequest]:
    """Handle the signals inside the block and restore what was there before."""
    request = StopRequest()

    def terminate(number, _frame):
        raise Terminated(signal.Signals(number).name)

    def stop_soon(number, _frame):
        request.name = signal.Signals(number).name

    handlers = {signal.SIGTERM: terminate, signal.SIGUSR1: stop_soon, signal.SIGUSR2: stop_soon}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""How far a run has come, and how long the rest will take, on stderr.

On a terminal one line follows every single run; elsewhere there is a line after
each round, and at most one a minute in between. The estimate adds up what each
cell (a row under an allocator) that is still to come took before, or the mean
of all cells where it has not run yet.
"""

import sys
import time

SECONDS_BETWEEN_LINES = 60


def duration(seconds):
    """Hours, minutes and seconds, as far as they matter."""
    seconds = round(seconds)
    if seconds < 120:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


class Progress:
    """REQUIRES: `begin` before the first `finished`."""

    def __init__(self, stream=sys.stderr, clock=time.monotonic):
        self._stream = stream
        self._clock = clock
        self._terminal = stream.isatty()
        self._left = []
        self._total = 0
        self._taken = {}
        self._last_line = self._last_end = clock()

    def begin(self, cells, already=0):
        """`cells` are to come, in this order, after `already` others that are done."""
        self._left = list(cells)
        self._total = len(self._left) + already
        self._last_line = self._last_end = self._clock()

    def finished(self, cell, label, round_ends):
        """The next cell is done; says so if it is time to."""
        now = self._clock()
        self._taken.setdefault(cell, []).append(now - self._last_end)
        self._last_end = now
        self._left.pop(0)
        text = (f"{label}: {self._total - len(self._left)}/{self._total} runs, "
                f"about {duration(self.seconds_left())} left")
        if self._terminal:
            print(f"\r\033[K{text}", end="" if self._left else "\n", file=self._stream, flush=True)
        elif round_ends or now - self._last_line > SECONDS_BETWEEN_LINES:
            print(text, file=self._stream, flush=True)
            self._last_line = now

    def seconds_left(self):
        means = {cell: sum(taken) / len(taken) for cell, taken in self._taken.items()}
        if not means:
            return 0.0
        unknown = sum(means.values()) / len(means)
        return sum(means.get(cell, unknown) for cell in self._left)

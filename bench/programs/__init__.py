"""Real programs with a fixed amount of work, as rows of the benchmark.

Each is one process of a program in a Debian package, started directly. Inputs
are scripts in inputs/ and files that are generated from fixed seeds, so that a
program does the same work and finds the same result under every allocator.

Place:    run.py -> suite.py -> [programs]
Not here: how a process is started, preloaded and measured; which allocators
          there are; what installs the packages (setup.sh).
"""

from . import databases, interpreters, tools
from .program import Program


def programs() -> list[Program]:
    """Every row, in the order of the report."""
    return [*interpreters.PROGRAMS, *tools.PROGRAMS, *databases.PROGRAMS]

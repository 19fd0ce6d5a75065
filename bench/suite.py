"""What run.py can run: the workloads with their arguments, and the allocators.

Workloads: one row a measurement. A row names a program in the build tree's
    bench folder, its arguments for a full and for a quick run, and the row's
    name, which --only matches. Full runs take about a second each, quick ones a
    tenth, so that a quick comparison of six allocators ends within minutes.
Allocators: spanmalloc from the build tree, glibc (no preloaded library), every
    rival that the loader's cache knows by its usual name, and name=path pairs
    from the command line. Each may need its own environment.
"""

import dataclasses
import os
import re
import subprocess


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    program: str
    arguments: tuple
    quick_arguments: tuple
    repeat: int = 0  # spawns to time from the outside, for programs without a clock
    quick_repeat: int = 0


@dataclasses.dataclass(frozen=True)
class Allocator:
    name: str
    library: str  # empty for the system's malloc
    environment: tuple = ()  # pairs


SUBJECT = "spanmalloc"
BASELINE = "glibc"

# Library name in the loader's cache -> allocator. The first match of a name wins.
KNOWN_LIBRARIES = {
    "libjemalloc.so.2": "jemalloc",
    "libtcmalloc_minimal.so.4": "tcmalloc-minimal",
    "libmimalloc.so.3": "mimalloc3",
    "libmimalloc.so.2": "mimalloc2",
    "libsnmallocshim.so": "snmalloc",
    "librpmalloc.so": "rpmalloc",
}

HOT_PAIR_SIZES = (8, 16, 64, 256, 1024, 4000, 16384, 32768)


def _row(name, program, full, quick):
    return Workload(name, program, tuple(full.split()), tuple(quick.split()))


def workloads():
    """Every row, in the order of the report."""
    rows = [Workload("trivial", "trivial", (), (), 1000, 200)]
    for size in HOT_PAIR_SIZES:
        rows.append(_row(f"hot_pair_{size}", "hot_pair", f"{size} 50000000", f"{size} 10000000"))
    for count in (1000, 100000):
        for order in ("lifo", "fifo", "random"):
            rows.append(_row(f"batch_{count}_{order}", "batch", f"{count} {order} 20000000",
                             f"{count} {order} 3000000"))
    rows += [
        _row("replace_small", "random_replace", "2000000 6000000 small", "500000 1000000 small"),
        _row("replace_mixed", "random_replace", "1000000 5000000 mixed", "300000 1000000 mixed"),
        _row("replace_buffers", "random_replace", "50000 1000000 buffers", "20000 200000 buffers"),
        _row("pass_small_1", "producer_consumer", "1 10000000 small", "1 2000000 small"),
        _row("pass_mixed_1", "producer_consumer", "1 5000000 mixed", "1 1000000 mixed"),
        _row("pass_mixed_4", "producer_consumer", "4 1500000 mixed", "4 300000 mixed"),
        _row("growth", "growth", "1024 100", "256 100"),
        _row("growth_small", "growth", "64 32", "32 32"),
        _row("phases", "phases", "256 2", "96 1"),
        _row("large_blocks", "large_blocks", "20000", "4000"),
        _row("realloc_double", "realloc_grow", "200 256 1 4", "200 128 1 2"),
        _row("realloc_half", "realloc_grow", "150 256 1 4", "150 128 1 2"),
        _row("realloc_many", "realloc_grow", "150 256 8 4", "150 64 8 2"),
        _row("binary_trees", "binary_trees", "19 1", "16 1"),
        _row("binary_trees_2", "binary_trees", "18 2", "15 2"),
        _row("thread_churn", "thread_churn", "20000 200", "4000 200"),
    ]
    return rows


def select_workloads(patterns):
    """The rows whose name contains one of the regular expressions; all without."""
    return [row for row in workloads()
            if not patterns or any(re.search(pattern, row.name) for pattern in patterns)]


def _loader_cache():
    """Library name -> path, from ldconfig -p; empty where there is none."""
    environment = dict(os.environ, PATH=os.environ.get("PATH", "") + ":/sbin:/usr/sbin")
    try:
        listing = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True,
                                 env=environment, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    cache = {}
    native = "64" if os.uname().machine in ("x86_64", "aarch64") else ""
    for line in listing.splitlines():
        match = re.match(r"\s*(\S+) \(([^)]*)\) => (\S+)", line)
        if match and native in match.group(2):
            cache.setdefault(match.group(1), match.group(3))
    return cache


def parse_extra(texts):
    """Allocators from name=path texts; @FILE stands for the lines of a file."""
    extra = []
    for text in texts:
        if text.startswith("@"):
            with open(text[1:], encoding="utf-8") as lines:
                extra += parse_extra(line.strip() for line in lines
                                     if line.strip() and not line.startswith("#"))
            continue
        name, separator, path = text.partition("=")
        if not separator or not name or not path:
            raise ValueError(f"not of the form name=path: {text!r}")
        extra.append(Allocator(name, path))
    return extra


def find_allocators(build_directory, extra):
    """Every allocator on this machine: subject, baseline, rivals, then `extra`.

    An extra library of a known name replaces the one that was found, and a
    library that is named twice is run once.
    """
    found = {SUBJECT: Allocator(SUBJECT, os.path.join(build_directory, "libspanmalloc.so")),
             BASELINE: Allocator(BASELINE, "")}
    for library, path in _loader_cache().items():
        if library in KNOWN_LIBRARIES:
            found.setdefault(KNOWN_LIBRARIES[library],
                             Allocator(KNOWN_LIBRARIES[library], path))
    for allocator in extra:
        same = [name for name, other in found.items()
                if other.library and os.path.realpath(other.library)
                == os.path.realpath(allocator.library)]
        for name in same:
            del found[name]
        found[allocator.name] = allocator
    return list(found.values())

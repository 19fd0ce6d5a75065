"""What run.py can run: workloads and programs with their arguments, allocators.

Workloads: one row a measurement. A row names a program in the build tree's
    bench folder, its arguments for a full and for a quick run, and the row's
    name, which --only matches. Full runs take about a second each, quick ones a
    tenth, so that a quick comparison of six allocators ends within minutes.
Programs: real ones, after the workloads, from programs/; their rows begin with
    real_.
Allocators: spanmalloc from the build tree, glibc (no preloaded library), every
    rival that the loader's cache knows by its usual name, and name=path pairs
    from the command line. Each may need its own environment: a library that is
    known by its name brings it along, NAME=PATH,VARIABLE=VALUE gives any other.
"""

import dataclasses
import glob
import hashlib
import os
import re
import subprocess

import programs
from programs.program import find


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    program: str
    arguments: tuple
    quick_arguments: tuple
    repeat: int = 0  # spawns to time from the outside, for programs without a clock
    quick_repeat: int = 0
    kind = "workload"


@dataclasses.dataclass(frozen=True)
class ProgramRow:
    name: str
    program: object  # a programs.Program
    kind = "program"

    def missing(self):
        """What is to be installed before it can run, as one sentence; or None."""
        absent = [name for name, path in self.paths().items() if path is None]
        if not absent:
            return None
        packages = ", ".join(self.program.packages)
        return (f"{self.name}: no {', '.join(absent)}"
                + (f" (Debian: {packages})" if packages else ""))

    def paths(self):
        """Required executable -> its path, or None."""
        def path(name):
            try:
                return find(name)
            except FileNotFoundError:
                return None
        return {name: path(name) for name in self.program.requires}


@dataclasses.dataclass(frozen=True)
class Allocator:
    name: str
    library: str  # empty for the system's malloc
    environment: tuple = ()  # pairs


HERE = os.path.dirname(os.path.abspath(__file__))
SUBJECT = "spanmalloc"
BASELINE = "glibc"

# Library name in the loader's cache -> allocator. The first match of a name wins.
KNOWN_LIBRARIES = {
    "libjemalloc.so.2": "jemalloc",
    "libtcmalloc_minimal.so.4": "tcmalloc-minimal",
    "libtcmalloc_google.so": "tcmalloc",
    "libmimalloc.so.3": "mimalloc3",
    "libmimalloc.so.2": "mimalloc2",
    "libsnmallocshim.so": "snmalloc",
    "librpmalloc.so": "rpmalloc",
}

# What a library needs to work as it is meant to: tcmalloc registers restartable
# sequences for its per-CPU caches itself, unless glibc has done so before.
KNOWN_ENVIRONMENTS = {
    "libtcmalloc_google.so": (("GLIBC_TUNABLES", "glibc.pthread.rseq=0"),),
}

# Where a comma in NAME=PATH,VARIABLE=VALUE starts another variable. Other commas
# belong to the value, as in MALLOC_CONF=a:b,c:d.
NEXT_VARIABLE = re.compile(r",(?=[A-Z_][A-Z0-9_]*=)")

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
        _row("pass_small_4", "producer_consumer", "4 8000000 small", "4 1200000 small"),
        _row("pass_buffers_1", "producer_consumer", "1 4000000 buffers", "1 600000 buffers"),
        _row("pass_buffers_4", "producer_consumer", "4 500000 buffers", "4 80000 buffers"),
        _row("ring_small_2", "ring_pass", "2 15000000 small", "2 2000000 small"),
        _row("ring_mixed_2", "ring_pass", "2 10000000 mixed", "2 1500000 mixed"),
        _row("ring_small_4", "ring_pass", "4 7000000 small", "4 1000000 small"),
        _row("ring_mixed_4", "ring_pass", "4 5000000 mixed", "4 700000 mixed"),
        _row("false_sharing_active", "false_sharing", "active 2 20000 6000",
             "active 2 5000 3000"),
        _row("false_sharing_passive", "false_sharing", "passive 2 20000 6000",
             "passive 2 5000 3000"),
        _row("growth", "growth", "1024 100", "256 100"),
        _row("growth_small", "growth", "64 32", "32 32"),
        _row("phases", "phases", "256 2", "96 1"),
        _row("large_blocks", "large_blocks", "40000", "5000"),
        _row("calloc_large", "calloc_tables", "full 200", "full 60 4 64 16384"),
        _row("calloc_sparse", "calloc_tables", "sparse 1000", "sparse 150"),
        _row("calloc_small", "calloc_tables", "small 6000000 20000", "small 1000000 20000"),
        _row("aligned", "aligned", "20000 3000000", "20000 500000"),
        _row("realloc_double", "realloc_grow", "200 256 1 4", "200 128 1 2"),
        _row("realloc_half", "realloc_grow", "150 256 1 4", "150 128 1 2"),
        _row("realloc_many", "realloc_grow", "150 256 8 4", "150 64 8 2"),
        _row("binary_trees", "binary_trees", "19 1", "16 1"),
        _row("binary_trees_2", "binary_trees", "18 2", "15 2"),
        _row("graph", "graph", "50000 1000000", "20000 400000"),
        _row("strings_json", "strings", "json 16000", "json 2500"),
        _row("strings_tiny", "strings", "tiny 8000000 100000", "tiny 1200000 50000"),
        _row("server_1", "server", "1 400000", "1 60000"),
        _row("server_4", "server", "4 100000", "4 15000"),
        _row("server_peaks", "resident_server", "unlimited 1000000", "unlimited 150000"),
        _row("thread_churn", "thread_churn", "20000 200", "4000 200"),
        _row("fork_heavy", "fork_heavy", "500", "80"),
    ]
    return rows


def rows():
    """Workloads and programs, in the order of the report."""
    found = list(workloads())
    found += [ProgramRow("real_" + program.name, program) for program in programs.programs()]
    return found


def programs_digest():
    """SHA-256 over the folder programs/."""
    paths = glob.glob(os.path.join(HERE, "programs", "**"), recursive=True)
    digest = hashlib.sha256()
    for path in sorted(filter(os.path.isfile, paths)):
        if path.endswith(".pyc"):
            continue
        with open(path, "rb") as file:
            digest.update(f"{os.path.relpath(path, HERE)}\n".encode() + file.read())
    return digest.hexdigest()


def select_rows(only, skip=()):
    """The rows whose name contains one of `only` (all without) and none of `skip`."""
    def matches(row, patterns):
        return any(re.search(pattern, row.name) for pattern in patterns)
    return [row for row in rows()
            if (not only or matches(row, only)) and not matches(row, skip)]


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


def known_environment(library):
    """The environment that a library of this name needs."""
    for path in (library, os.path.realpath(library)):
        if os.path.basename(path) in KNOWN_ENVIRONMENTS:
            return KNOWN_ENVIRONMENTS[os.path.basename(path)]
    return ()


def parse_extra(texts):
    """Allocators from NAME=PATH[,VARIABLE=VALUE]... texts.

    @FILE stands for the lines of a file. Without a path it is the system's
    malloc, in the environment given. Paths become absolute.
    """
    extra = []
    for text in texts:
        if text.startswith("@"):
            with open(text[1:], encoding="utf-8") as lines:
                extra += parse_extra(line.strip() for line in lines
                                     if line.strip() and not line.startswith("#"))
            continue
        name, separator, rest = text.partition("=")
        path, *variables = NEXT_VARIABLE.split(rest)
        if not separator or not name or not (path or variables):
            raise ValueError(f"not of the form NAME=PATH[,VARIABLE=VALUE]...: {text!r}")
        path = os.path.abspath(path) if path else ""
        environment = dict(known_environment(path))
        environment.update(variable.split("=", 1) for variable in variables)
        extra.append(Allocator(name, path, tuple(environment.items())))
    return extra


def find_allocators(build_directory, extra):
    """Every allocator on this machine: subject, baseline, rivals, then `extra`.

    An extra library of a known name replaces the one that was found, and a
    library that is named twice with the same environment is run once.
    """
    found = {SUBJECT: Allocator(SUBJECT, os.path.join(build_directory, "libspanmalloc.so")),
             BASELINE: Allocator(BASELINE, "")}
    for library, path in _loader_cache().items():
        if library in KNOWN_LIBRARIES:
            name = KNOWN_LIBRARIES[library]
            found.setdefault(name, Allocator(name, path, known_environment(library)))

    def identity(allocator):
        library = allocator.library and os.path.realpath(allocator.library)
        return library, allocator.environment

    for allocator in extra:
        for name in [name for name, other in found.items()
                     if identity(other) == identity(allocator)]:
            del found[name]
        found[allocator.name] = allocator
    return list(found.values())

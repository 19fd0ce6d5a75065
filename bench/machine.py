"""What the machine is, and what else ran on it while a benchmark did.

Description: figures that stay the same during a run and that a comparison
    depends on; None for what this system does not tell.
Other load:  CPU time of all processes, as /proc/stat counts it, less what the
    runner and its children used themselves; and what the host took away
    (steal). Both in cores: 0.5 is half a core for the whole run. Interrupts are
    left out: those of a benchmark are in no process's account either.
    /proc/stat counts in ticks of 10 ms, so a run is called disturbed only if
    others had more than DISTURBED_CORES and more than DISTURBED_SECONDS.
"""

import glob
import hashlib
import os
import platform
import re
import resource
import time

DISTURBED_CORES = 0.10
DISTURBED_SECONDS = 0.03

# Variables of the caller that change what an allocator does.
RELEVANT_VARIABLES = re.compile(r"(SPANMALLOC_OPTIONS|(_RJEM_)?MALLOC_.*|MIMALLOC_.*|TCMALLOC_.*"
                                r"|JE_MALLOC_CONF|RPMALLOC_.*|SNMALLOC_.*|GLIBC_TUNABLES"
                                r"|LD_LIBRARY_PATH|LD_BIND_NOW)$")


def read_text(path):
    """The text of a file, or None."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def file_digest(path):
    """SHA-256 of a file in hexadecimal, or None if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def _first(pattern, text):
    match = re.search(pattern, text or "", re.MULTILINE)
    return match.group(1).strip() if match else None


def _compiler(build_directory):
    """Name, version and build type that the build tree was made with."""
    for language in ("CXX", "C"):
        for path in glob.glob(os.path.join(glob.escape(build_directory), "CMakeFiles", "*",
                                           f"CMake{language}Compiler.cmake")):
            text = read_text(path)
            name = _first(rf'set\(CMAKE_{language}_COMPILER_ID "([^"]+)"', text)
            version = _first(rf'set\(CMAKE_{language}_COMPILER_VERSION "([^"]+)"', text)
            cache = read_text(os.path.join(build_directory, "CMakeCache.txt"))
            kind = _first(r"^CMAKE_BUILD_TYPE:\w+=(\S+)$", cache)
            return " ".join(part for part in (name, version, kind) if part)
    return None


def describe(build_directory):
    """The machine and the build, as a dictionary of text and numbers."""
    thp = "/sys/kernel/mm/transparent_hugepage/enabled"
    memory = _first(r"^MemTotal:\s+(\d+) kB", read_text("/proc/meminfo"))
    cpu = read_text("/proc/cpuinfo")
    return {
        "cpu": _first(r"^model name\s*:\s*(.*)$", cpu) or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory) // 1024 if memory else None,
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "huge_pages": _first(r"\[(\w+)\]", read_text(thp)),
        "compiler": _compiler(build_directory),
        "environment": {name: value for name, value in sorted(os.environ.items())
                        if RELEVANT_VARIABLES.match(name)},
    }


def sentences(description):
    """The description as lines for a reader, with a warning where one is due."""
    def known(key):
        return description[key] if description[key] is not None else "unknown"
    lines = [f"{known('cpu')}, {known('cores')} cores, {known('memory_mib')} MiB, "
             f"Linux {known('kernel')}, {known('libc')}, "
             f"transparent huge pages: {known('huge_pages')}, built with {known('compiler')}"]
    if description["environment"]:
        lines.append("in the caller's environment: " + ", ".join(
            f"{name}={value}" for name, value in description["environment"].items()))
    if description["cores"] == 1:
        lines.append("ONE CORE: threads never ran at the same time, and whatever else ran "
                     "took its time from the benchmark")
    if _cpu_ticks() is None:
        lines.append("NO /proc/stat: other load on the machine is not known")
    return lines


def _cpu_ticks():
    """(busy, stolen) ticks of all cores since boot, or None."""
    line = (read_text("/proc/stat") or "").partition("\n")[0].split()
    if len(line) < 9 or line[0] != "cpu":
        return None
    user, nice, system, _, _, _, _, steal = map(int, line[1:9])
    return user + nice + system, steal


def _waited_seconds():
    """Seconds since boot in which something waited for a core, or None."""
    total = _first(r"^some .*total=(\d+)", read_text("/proc/pressure/cpu"))
    return int(total) / 1e6 if total else None


def _own_seconds():
    """CPU time of the runner and of all children that it has waited for."""
    return sum(usage.ru_utime + usage.ru_stime
               for usage in (resource.getrusage(resource.RUSAGE_SELF),
                             resource.getrusage(resource.RUSAGE_CHILDREN)))


class LoadMeter:
    """Load from its construction on.

    REQUIRES: the children that are to count as own have been waited for when
    stop is called.
    """

    def __init__(self):
        self._start = time.monotonic()
        self._ticks = _cpu_ticks()
        self._waited = _waited_seconds()
        self._own = _own_seconds()

    def stop(self):
        """{other_load, steal, cpu_pressure, disturbed}; None where unknown."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        own = _own_seconds() - self._own
        figures = {"other_load": None, "steal": None, "cpu_pressure": None, "disturbed": None}
        waited = _waited_seconds()
        if waited is not None and self._waited is not None:
            figures["cpu_pressure"] = round((waited - self._waited) / seconds, 3)
        ticks = _cpu_ticks()
        if ticks is None or self._ticks is None:
            return figures
        frequency = os.sysconf("SC_CLK_TCK")
        others = max((ticks[0] - self._ticks[0]) / frequency - own, 0.0)
        stolen = (ticks[1] - self._ticks[1]) / frequency
        figures["other_load"] = round(others / seconds, 3)
        figures["steal"] = round(stolen / seconds, 3)
        figures["disturbed"] = (others + stolen > DISTURBED_SECONDS
                                and others + stolen > DISTURBED_CORES * seconds)
        return figures

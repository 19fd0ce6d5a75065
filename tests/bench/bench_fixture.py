"""What the tests of bench/ share: the modules on the path, and made-up runs."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[2]
BENCH = ROOT / "bench"
sys.path.insert(0, str(BENCH))
sys.dont_write_bytecode = True


def make_run(row, allocator, number=1, cpu_ms=10, rss_mib=1, **others):
    """A record as execution.py makes it, all CPU time in user mode."""
    return {
        "row": row, "allocator": allocator, "round": number, "problem": None,
        "user_ns": int(cpu_ms * 1e6), "system_ns": 0, "wall_ns": int(cpu_ms * 1e6),
        "peak_rss_kib": int(rss_mib * 1024), "end_rss_kib": int(rss_mib * 1024),
        "end_huge_kib": 0, "peak_virtual_kib": 4096, "minor_faults": 100, "major_faults": 0,
        "voluntary_switches": 1, "involuntary_switches": 2, "checksum": 7, "extra": {},
        "disturbed": False, "unchecked": False, **others}


def make_failure(row, allocator, number=1, problem="killed by signal 11: no message"):
    return {"row": row, "allocator": allocator, "round": number, "problem": problem}

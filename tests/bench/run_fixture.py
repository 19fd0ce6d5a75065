"""What the tests of bench/run.py share: a made-up suite, in a made-up build tree.

Rows are shell scripts and allocators empty libraries, which the scripts see in
LD_PRELOAD; only measure.c is the real one. The tests need no clock: what takes
time waits until it is killed.
"""

import collections
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from bench_fixture import BENCH

# Runs run.py on the rows of a folder: SCRIPT NAMES FOLDER ARGUMENTS...
DRIVER = """
import sys, types
bench, names, seconds, folder, *arguments = sys.argv[1:]
sys.path[:0] = [folder, bench]
sys.dont_write_bytecode = True
import execution, fake_programs, run, suite
suite.workloads = lambda: [suite.Workload(name, name, ("full",), ("quick",))
                           for name in names.split(",")]
suite.programs = fake_programs
suite._loader_cache = dict
run.RUN_SECONDS = float(seconds)
execution.CRASH_GRACE_SECONDS = 0.05
sys.exit(run.main(arguments))
"""
NO_PROGRAMS = "def programs():\n    return []\n"
GOOD = "echo operations 5; echo wall_ns 10; echo checksum 7"


class Fixture(unittest.TestCase):
    """A build tree and a suite for each test."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.compiled = pathlib.Path(folder.name)
        subprocess.run(["cc", "-O1", "-o", cls.compiled / "measure", BENCH / "measure.c"],
                       check=True)
        for name in ("libspanmalloc.so", "rival.so"):
            subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-o", cls.compiled / name, "-"],
                           input=f"int marker_{len(name)};", text=True, check=True)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.build = self.folder / "build"
        self.out = self.folder / "out"
        (self.build / "bench").mkdir(parents=True)
        shutil.copy(self.compiled / "measure", self.build / "bench")
        shutil.copy(self.compiled / "libspanmalloc.so", self.build)
        self.rival = self.folder / "rival.so"
        shutil.copy(self.compiled / "rival.so", self.rival)
        self.programs(NO_PROGRAMS)
        self.row("trivial", "")
        self.rows = []

    def row(self, name, script):
        """A workload that is this shell script; $LOG is a file to write to."""
        path = self.build / "bench" / name
        path.write_text(f"#!/bin/sh\nLOG={self.folder}/log\n{script}\n")
        path.chmod(0o755)
        if name != "trivial":
            self.rows.append(name)

    def programs(self, text):
        (self.folder / "fake_programs.py").write_text(text)

    def start(self, *arguments, seconds=60):
        return subprocess.Popen(
            [sys.executable, "-c", DRIVER, BENCH, ",".join(self.rows or ["trivial"]), str(seconds),
             self.folder, f"--build={self.build}", f"--out={self.out}",
             f"--extra=rival={self.rival}", "--rounds=2", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run_all(self, *arguments, status=0, **options):
        process = self.start(*arguments, **options)
        output, errors = process.communicate()
        self.assertEqual(process.returncode, status, output + errors)
        return output, errors

    def journal(self):
        """(header, runs, whether it is finished)."""
        records = [json.loads(line) for line in
                   (self.out / "runs.jsonl").read_text().splitlines()]
        runs = [record for record in records[1:] if "finished" not in record]
        return records[0], runs, "finished" in records[-1]

    def assert_complete(self, rows, allocators, rounds=2):
        """Every run is there once."""
        _, runs, finished = self.journal()
        self.assertTrue(finished)
        found = collections.Counter((run["row"], run["allocator"], run["round"]) for run in runs)
        self.assertEqual(found, collections.Counter(
            (row, allocator, number) for row in rows for allocator in allocators
            for number in range(rounds + 1)))

    def problems(self):
        return {(run["row"], run["allocator"]): run["problem"]
                for run in self.journal()[1] if run["problem"]}


def main():
    """Runs the tests of the script, or skips them."""
    if not shutil.which("cc"):
        print("skipped: no C compiler")
        sys.exit(77)
    unittest.main()

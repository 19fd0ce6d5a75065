#!/usr/bin/env python3
"""Tests of the programs of bench/resident/: what they print, and their silence.

Usage: tests/bench/resident_programs_test.py

A library that is preloaded ends a program that calls malloc after it has said
that it is idle.

Exit codes: 0 passed, 1 failed, 77 skipped because there is no C compiler.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import bench_fixture  # Puts bench/ on the path.

import resident_execution
import resident_rows

SHIM = r"""
#define _GNU_SOURCE
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
void* __libc_malloc(size_t size);
static volatile int idle;
void* malloc(size_t size) {
  if (idle) _exit(99);
  return __libc_malloc(size);
}
ssize_t write(int file, const void* bytes, size_t size) {
  if (size == 5 && memcmp(bytes, "idle\n", 5) == 0) idle = 1;
  return syscall(SYS_write, file, bytes, size);
}
"""
MIB = 1024


class ProgramsTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.shim = cls.folder / "shim.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", cls.shim, "-x", "c", "-"],
                       input=SHIM, text=True, check=True)
        for source in (bench_fixture.BENCH / "resident").glob("*.c"):
            subprocess.run(["cc", "-O1", "-fno-builtin-malloc", "-fno-builtin-free", "-pthread",
                            "-o", cls.folder / f"resident_{source.stem}", source, "-lm"],
                           check=True)

    def run_program(self, name, *arguments, status=0):
        done = subprocess.run([self.folder / f"resident_{name}", *arguments], text=True,
                              capture_output=True, env={**os.environ, "LD_PRELOAD": self.shim})
        self.assertEqual(done.returncode, status, done.stderr)
        return resident_execution.parse_output(done.stdout)

    def test_every_program_of_the_table_is_there(self):
        for row in resident_rows.rows(True):
            self.assertTrue((self.folder / row.program).exists(), row.program)

    def assert_idle_second(self, samples, idle):
        self.assertTrue(idle)
        self.assertEqual([at for at, _ in samples], [0, 100, 200, 500, 1000])

    def test_return(self):
        for mix in ("small", "mixed", "large"):
            for free in ("all", "most"):
                with self.subTest(mix=mix, free=free):
                    figures, samples, idle = self.run_program("return", mix, free, "1", "64")
                    self.assert_idle_second(samples, idle)
                    self.assertGreater(figures["top_kib"] - figures["before_kib"], 60 * MIB)
                    if free == "all":
                        self.assertEqual(figures["live_kib"], 0)
                    elif mix != "large":  # Those are but a few dozen.
                        self.assertTrue(4 * MIB < figures["live_kib"] < 9 * MIB, figures)

    def test_idle_threads(self):
        figures, samples, idle = self.run_program("idle_threads", "20", "1")
        self.assert_idle_second(samples, idle)
        self.assertEqual(figures["threads"], 20)
        self.assertLess(figures["before_kib"], figures["threads_kib"])
        self.assertLess(figures["threads_kib"], samples[0][1])

    def test_refill(self):
        figures, _, _ = self.run_program("refill", "1", "64", "16")
        self.assertGreater(figures["top_kib"], 60 * MIB)
        self.assertGreaterEqual(figures["peak_kib"], figures["freed_kib"])

    def test_phases(self):
        figures, samples, _ = self.run_program("phases", "4", "8")
        self.assertEqual([number for number, _ in samples], [1, 2, 3, 4])
        self.assertTrue(7 * MIB < figures["live_kib"] <= 8 * MIB, figures)
        self.assertGreaterEqual(figures["peak_kib"], max(kib for _, kib in samples))

    def test_threads_exit(self):
        figures, samples, idle = self.run_program("threads_exit", "2", "8", "1")
        self.assert_idle_second(samples, idle)
        self.assertGreater(figures["peak_kib"], 16 * MIB)

    def test_server(self):
        figures, samples, _ = self.run_program("server", "1")
        self.assertEqual([at for at, _ in samples], list(range(0, 1001, 100)))
        same, samples, _ = self.run_program("server", "unlimited", "5000")
        self.assertEqual(samples, [])
        # The same requests, whatever the threads' order.
        self.assertEqual([figures[key] for key in ("operations", "checksum")],
                         [same[key] for key in ("operations", "checksum")])
        self.assertGreater(figures["peak_kib"], 300 * MIB)

    def test_bad_arguments(self):
        for arguments in (("return", "tiny"), ("return", "small", "some"), ("phases", "0"),
                          ("server", "x"), ("refill", "-")):
            with self.subTest(arguments=arguments):
                self.run_program(*arguments, status=2)


if __name__ == "__main__":
    if not shutil.which("cc"):
        print("skipped: no C compiler")
        sys.exit(77)
    unittest.main()

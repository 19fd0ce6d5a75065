#!/usr/bin/env python3
"""Tests of bench/programs/ and of bench/setup.sh, which installs them.

Usage: tests/bench/programs_test.py

Programs that are not installed are left out; three that are quick really run.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).absolute().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "bench"))

import programs
from programs import program as shared

SETUP = ROOT / "bench" / "setup.sh"
RUN = ("lua", "sqlite3", "z3")


def is_installed(program):
    try:
        for executable in program.requires:
            shared.find(executable)
    except FileNotFoundError:
        return False
    return True


def contents(folder):
    """Everything in a folder: path -> time of the last change."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


class Fixture(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.inputs = self.folder / "inputs"
        self.inputs.mkdir()

    def run_once(self, program):
        """The checksum of one quick run without any library."""
        scratch = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        done = subprocess.run(
            program.command(self.inputs, scratch, True), cwd=scratch, check=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            env={**os.environ, **dict(program.environment)})
        return program.checksum(self.inputs, scratch, done.stdout)


class TableTest(unittest.TestCase):

    def test_rows_are_well_formed(self):
        for program in programs.programs():
            with self.subTest(program.name):
                self.assertRegex(program.name, r"^[a-z][a-z0-9_]*$")
                self.assertTrue(program.packages and program.requires)
                for words in (program.packages, program.requires):
                    self.assertIsInstance(words, tuple)
                for function in (program.prepare, program.command, program.checksum):
                    self.assertTrue(callable(function))
                self.assertTrue(program.drive is None or callable(program.drive))
                self.assertNotIn("LD_PRELOAD", dict(program.environment))

    def test_names_differ(self):
        names = [program.name for program in programs.programs()]
        self.assertEqual(len(names), len(set(names)))


class CommandTest(Fixture):

    def test_commands_are_binaries_and_not_scripts(self):
        for program in filter(is_installed, programs.programs()):
            for quick in (False, True):
                with self.subTest(program.name, quick=quick):
                    command = program.command(self.inputs, self.folder, quick)
                    self.assertTrue(os.path.isabs(command[0]))
                    with open(command[0], "rb") as binary:
                        self.assertEqual(binary.read(4), b"\x7fELF")

    def test_full_is_not_quick(self):
        for program in filter(is_installed, programs.programs()):
            if program.drive is None:
                with self.subTest(program.name):
                    self.assertNotEqual(program.command(self.inputs, self.folder, False),
                                        program.command(self.inputs, self.folder, True))


class PrepareTest(Fixture):

    def test_inputs_are_made_once(self):
        for program in filter(is_installed, programs.programs()):
            with self.subTest(program.name):
                program.prepare(self.inputs, True)
                before = contents(self.inputs)
                program.prepare(self.inputs, True)
                self.assertEqual(contents(self.inputs), before)

    def test_interrupted_inputs_leave_nothing(self):
        path = self.inputs / "file"

        def fail(other):
            other.write_text("half of it")
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            shared.make_once(path, fail)
        self.assertEqual(contents(self.inputs), {})
        shared.make_once(path, lambda other: other.write_text("all of it"))
        self.assertEqual(path.read_text(), "all of it")


class RunTest(Fixture):

    def test_two_runs_find_the_same(self):
        for program in filter(is_installed, programs.programs()):
            if program.name in RUN:
                with self.subTest(program.name):
                    program.prepare(self.inputs, True)
                    self.assertEqual(self.run_once(program), self.run_once(program))

    def test_another_result_has_another_checksum(self):
        for program in programs.programs():
            if program.checksum is shared.checksum_of_stdout:
                with self.subTest(program.name):
                    self.assertNotEqual(program.checksum(self.inputs, self.folder, b"a"),
                                        program.checksum(self.inputs, self.folder, b"b"))

    def test_rocksdb_is_judged_by_what_it_found(self):
        rocksdb = {program.name: program for program in programs.programs()}["rocksdb"]

        def checksum(micros, found):
            text = "".join(f"{name} :  {micros} micros/op 3 ops/sec; ({found} of 9 found)\n"
                           for name in ("readrandom", "seekrandom"))
            return rocksdb.checksum(self.inputs, self.folder, text.encode())

        self.assertEqual(checksum(1.5, 7), checksum(2.5, 7))
        self.assertNotEqual(checksum(1.5, 7), checksum(1.5, 8))
        with self.assertRaises(ValueError):
            rocksdb.checksum(self.inputs, self.folder, b"readrandom : 1 micros/op")


class SetupTest(unittest.TestCase):

    def run_setup(self, *arguments):
        return subprocess.run(["bash", SETUP, *arguments], check=False, capture_output=True,
                              text=True)

    def test_installs_every_package_of_a_program(self):
        listed = re.findall(r"^  (\S+)  +\S+$", self.run_setup("--list").stdout, re.MULTILINE)
        needed = {package for program in programs.programs() for package in program.packages}
        self.assertEqual(needed - set(listed), set())

    def test_help(self):
        done = self.run_setup("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("Usage: bench/setup.sh", done.stdout)

    def test_wrong_usage(self):
        self.assertEqual(self.run_setup("--install").returncode, 2)


if __name__ == "__main__":
    unittest.main()

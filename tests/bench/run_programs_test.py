#!/usr/bin/env python3
"""Tests of bench/run.py: rows of real programs, which are made up here.

Usage: tests/bench/run_programs_test.py

Exit codes: 0 passed, 1 failed, 77 skipped because there is no C compiler.
"""

import run_fixture


PROGRAMS = """
import pathlib, time, types

def prepare(inputs, quick):
    with open(inputs.parent / "log", "a") as log:
        log.write("prepared\\n")
    (inputs / "data").write_text("quick" if quick else "full")

def server(inputs, scratch, quick):
    return ["sh", "-c", "touch up; while ! [ -e stop ]; do sleep 0.01; done; echo end"]

def drive(inputs, scratch, quick):
    while not (scratch / "up").exists():
        time.sleep(0.01)
    (scratch / "stop").touch()
    return {"requests": 12}

def broken_drive(inputs, scratch, quick):
    raise ValueError("no answer")

def program(name, **values):
    return types.SimpleNamespace(**{**dict(
        name=name, packages=("some-package",), requires=("sh",), prepare=prepare,
        command=lambda inputs, scratch, quick: ["sh", "-c", f"cat {inputs}/data; echo $V >f"],
        environment=(("V", "1"),), drive=None,
        checksum=lambda inputs, scratch, stdout: f"{stdout.decode()} {(scratch / 'f').read_text()}",
    ), **values})

def programs():
    return [
        program("cat"),
        program("absent", requires=("sh", "no-such-executable")),
        program("unprepared", prepare=lambda inputs, quick: 1 / 0),
        program("server", command=server, drive=drive,
                checksum=lambda inputs, scratch, stdout: stdout.decode()),
        program("undriven", command=server, drive=broken_drive),
        program("unchecked", checksum=lambda inputs, scratch, stdout: 1 / 0),
    ]
"""


class ProgramsTest(run_fixture.Fixture):

    def test_programs(self):
        self.programs(PROGRAMS)
        output, _ = self.run_all("--only=real_", status=1)
        self.assertIn("MISSING real_absent: no no-such-executable (Debian: some-package)", output)
        self.assertIn("MISSING real_unprepared: its inputs could not be made: division", output)
        self.assert_complete(["real_cat", "real_server", "real_undriven", "real_unchecked"],
                             ["spanmalloc", "glibc", "rival"])
        self.assertEqual({(row, problem) for (row, _), problem in self.problems().items()}, {
            ("real_undriven", "its driver failed: ValueError: no answer"),
            ("real_unchecked", "ZeroDivisionError: division by zero")})
        runs = {run["row"]: run for run in self.journal()[1]}
        self.assertEqual(runs["real_cat"]["checksum"], "full 1\n")
        self.assertEqual((runs["real_server"]["checksum"], runs["real_server"]["extra"]),
                         ("end\n", {"requests": 12}))
        self.assertRegex(output, r"real_server says +requests\n-+\nspanmalloc +12\n")

    def test_inputs_are_made_once(self):
        self.programs(PROGRAMS)
        log = self.build / "bench" / "work" / "inputs" / "log"
        arguments = ("--only=real_cat", "--allocators=glibc", "--rounds=1")
        for _ in range(2):
            self.run_all(*arguments)
            self.assertEqual(log.read_text().split(), ["prepared"])
        self.run_all(*arguments, "--quick")
        self.assertEqual(log.read_text().split(), ["prepared"] * 2)


if __name__ == "__main__":
    run_fixture.main()

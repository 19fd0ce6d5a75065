#!/usr/bin/env python3
"""Tests of tools/generate_options_doc.py, and that docs/options.md is current.

Usage: tests/tools/generate_options_doc_test.py
"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "generate_options_doc.py"
SOURCE = "allocator/api/options.def"
DOCUMENT = "docs/options.md"

EXAMPLE = """\
// SPANMALLOC_OPTION(in_a_comment, kFlag, 0, 0, 1, "Not an option.")
SPANMALLOC_OPTION(size, kBytes, 3 << 20, 1, 1ULL << 40,
                  "A size, in (bytes) "
                  "of a | b.")
SPANMALLOC_OPTION(flag, kFlag, 1, 0, 1, "A flag.")
SPANMALLOC_CHOICE_OPTION(choice, "one|two", "A (choice) "
                  "of two.")
SPANMALLOC_TEXT_OPTION(text, "A text.")

#undef SPANMALLOC_OPTION
"""


class GenerateOptionsDocTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for path in (SOURCE, DOCUMENT):
            (self.root / path).parent.mkdir(parents=True)
        self.write(EXAMPLE)

    def write(self, source):
        (self.root / SOURCE).write_text(source)

    def run_script(self, *arguments, root=None):
        return subprocess.run(
            [sys.executable, SCRIPT, "--root", root or self.root, *arguments],
            check=False, capture_output=True, text=True)

    def test_the_document_of_this_tree_is_current(self):
        result = self.run_script("--check", root=ROOT)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_one_row_for_each_option(self):
        self.assertEqual(self.run_script().returncode, 0)
        text = (self.root / DOCUMENT).read_text()
        self.assertIn(
            "| `size` | bytes | 3M | 1 to 1T | A size, in (bytes) of a \\| b. "
            "|\n"
            "| `flag` | flag | 1 | 0 to 1 | A flag. |\n"
            "| `choice` | choice | one | one, two | A (choice) of two. |\n"
            "| `text` | text | empty | any | A text. |\n", text)
        self.assertNotIn("in_a_comment", text)

    def test_check_finds_what_is_out_of_date(self):
        self.assertEqual(self.run_script("--check").returncode, 1)
        self.run_script()
        self.assertEqual(self.run_script("--check").returncode, 0)
        self.write(EXAMPLE.replace("3 << 20", "4 << 20"))
        result = self.run_script("--check")
        self.assertEqual(result.returncode, 1)
        self.assertIn("docs/options.md is out of date", result.stderr)

    def test_check_writes_nothing(self):
        self.run_script("--check")
        self.assertFalse((self.root / DOCUMENT).exists())

    def test_sources_that_cannot_be_read(self):
        for source in ("",
                       EXAMPLE.replace("kBytes", "kFloat"),
                       EXAMPLE.replace("3 << 20", "kDefault"),
                       EXAMPLE.replace("3 << 20", "0"),
                       EXAMPLE.replace('"A flag."', "kHelp"),
                       EXAMPLE.replace('"one|two"', '"one|one"'),
                       EXAMPLE.replace('"one|two"', '"one"'),
                       EXAMPLE.replace('"one|two"', "kNames"),
                       EXAMPLE.replace("TEXT_OPTION", "OTHER_OPTION"),
                       EXAMPLE.replace('"A text."', "3")):
            self.write(source)
            self.assertEqual(self.run_script().returncode, 2, source)


if __name__ == "__main__":
    unittest.main()

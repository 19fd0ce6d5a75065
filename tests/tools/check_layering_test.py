#!/usr/bin/env python3
"""Tests of tools/check_layering.py: small trees, each with one thing wrong.

Usage: tests/tools/check_layering_test.py
"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECKER = pathlib.Path(__file__).parents[2] / "tools" / "check_layering.py"

GUARDED = "// Doc.\n#ifndef GUARD_H_\n#define GUARD_H_\n%s#endif\n"

# A tree in which everything is allowed.
TREE = {
    "base/bits.h":
        GUARDED % "#include <cstddef>\n#if defined(__x86_64__)\n#endif\n",
    "os/memory.h": GUARDED % '#include "allocator/base/bits.h"\n',
    "os/memory.cc": '#include "allocator/os/memory.h"\n#include <sys/mman.h>\n',
    "page/span.h": GUARDED % '#include "allocator/os/memory.h"\n',
    "page/page_heap.h": GUARDED % '#include "allocator/page/span.h"\n',
    "api/malloc.cc":
        '#include "allocator/page/page_heap.h"\n'
        "#include <spanmalloc/spanmalloc.h>\n"
        "#if defined(SPANMALLOC_OVERRIDE)\n#endif\n",
    "include/spanmalloc/spanmalloc.h":
        GUARDED % "#include <stddef.h>\n#ifdef __cplusplus\n#endif\n",
}


class CheckLayeringTest(unittest.TestCase):

    def check(self, **edits):
        """Runs the checker on TREE with files added or replaced."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for path, text in {**TREE, **edits}.items():
                path = root / "allocator" / path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            result = subprocess.run(
                [sys.executable, CHECKER, "--root", root],
                check=False,
                capture_output=True,
                text=True)
        return result.returncode, result.stderr.splitlines()

    def assert_fails(self, line, path, text):
        code, lines = self.check(**{path: text})
        self.assertEqual(lines, [line, "check_layering: 1 violations"])
        self.assertEqual(code, 1)

    def test_clean_tree_passes(self):
        self.assertEqual(self.check(), (0, []))

    def test_upward_include(self):
        self.assert_fails(
            "allocator/os/clock.h:3: layer: os must not include page "
            "(allocator/page/span.h)", "os/clock.h",
            '// Doc.\n\n#include "allocator/page/span.h"\n')

    def test_public_header_too_low(self):
        self.assert_fails(
            "allocator/page/x.cc:1: layer: page must not include observe "
            "(spanmalloc/spanmalloc.h)", "page/x.cc",
            "#include <spanmalloc/spanmalloc.h>\n")

    def test_include_not_from_the_root(self):
        self.assert_fails(
            'allocator/os/x.cc:1: layer: "memory.h" is not written from the '
            "root", "os/x.cc", '#include "memory.h"\n')

    def test_folder_that_is_no_layer(self):
        self.assert_fails("allocator/misc/x.h:1: layer: in no layer",
                          "misc/x.h", "\n")

    def test_missing_header(self):
        self.assert_fails(
            "allocator/os/x.cc:1: missing: allocator/os/gone.h does not exist",
            "os/x.cc", '#include "allocator/os/gone.h"\n')

    def test_cycle_inside_a_layer(self):
        self.assert_fails(
            "allocator/page/span.h:3: cycle: page/page_heap.h -> page/span.h "
            "-> page/page_heap.h", "page/span.h",
            GUARDED.replace("// Doc.\n", "") %
            '#include "allocator/page/page_heap.h"\n')

    def test_header_that_allocates(self):
        for name in ("string", "vector", "mutex", "functional", "iostream"):
            with self.subTest(name=name):
                self.assert_fails(
                    f"allocator/base/x.h:1: system: <{name}> may allocate, "
                    "throw or lock", "base/x.h", f"#include <{name}>\n")

    def test_kernel_header_above_os(self):
        self.assert_fails(
            "allocator/page/x.cc:1: system: <sys/mman.h> is for os/ alone",
            "page/x.cc", "#include <sys/mman.h>\n")

    def test_conditional_above_os(self):
        self.assert_fails(
            "allocator/page/x.cc:2: if: #ifdef __linux__ above os/",
            "page/x.cc", "\n#ifdef __linux__\n#endif\n")

    def test_conditional_without_a_macro(self):
        self.assert_fails("allocator/page/x.cc:1: if: #if 0 above os/",
                          "page/x.cc", "#if 0\n#endif\n")

    def test_allowed_conditional_in_another_file(self):
        self.assert_fails(
            "allocator/api/x.cc:1: if: #if SPANMALLOC_OVERRIDE above os/",
            "api/x.cc", "#if SPANMALLOC_OVERRIDE\n#endif\n")

    def test_only_the_outermost_ifndef_is_a_guard(self):
        self.assert_fails(
            "allocator/page/x.h:4: if: #ifndef MAP_FIXED above os/",
            "page/x.h",
            GUARDED % "#ifndef MAP_FIXED\n#define MAP_FIXED\n#endif\n")

    def test_comments_do_not_count(self):
        self.assertEqual(
            self.check(**{
                "page/x.h":
                    "/* #include <vector>\n#include <string> */\n"
                    "// #include <mutex>\n"
            }), (0, []))

    def test_no_sources(self):
        with tempfile.TemporaryDirectory() as folder:
            result = subprocess.run([sys.executable, CHECKER, "--root", folder],
                                    check=False,
                                    capture_output=True)
        self.assertEqual(result.returncode, 2)


if __name__ == "__main__":
    unittest.main()

"""Language runtimes: each runs one script from inputs/ that uses threads and processes."""

import os
import sys

from context import INPUTS


def python(context):
    """With PYTHONMALLOC=malloc every object is a malloc of its own."""
    context.environment["PYTHONMALLOC"] = "malloc"
    return context.run(sys.executable, "-", stdin=_input("sample.py"))


def perl(context):
    context.need("perl")
    return context.run("perl", "-", stdin=_input("sample.pl"))


def node(context):
    context.need("node")
    return context.run("node", os.path.join(INPUTS, "sample.js"))


def java(context):
    context.need("java", "javac")
    return context.run("java", "-Xmx256m", os.path.join(INPUTS, "Sample.java"))


def _input(name):
    with open(os.path.join(INPUTS, name), "rb") as file:
        return file.read()


CASES = (python, perl, node, java)

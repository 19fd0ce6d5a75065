"""Records as JSON, words in dictionaries, a tree of objects, text put together.

Usage: work.py ROUNDS

Prints one line for each part that depends on every result. All random numbers
come from one fixed seed.
"""

import collections
import json
import random
import re
import sys


class Node:
    """A binary search tree without balancing."""

    __slots__ = ("key", "value", "left", "right")

    def __init__(self, key, value):
        self.key, self.value, self.left, self.right = key, value, None, None


def insert(root, key, value):
    while True:
        if key == root.key:
            root.value += value
            return
        child = root.left if key < root.key else root.right
        if child is None:
            if key < root.key:
                root.left = Node(key, value)
            else:
                root.right = Node(key, value)
            return
        root = child


def make_records(numbers, count):
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [{
        "id": number,
        "name": "".join(numbers.choices(letters, k=numbers.randint(3, 40))),
        "scores": [numbers.randint(0, 10**9) for _ in range(numbers.randint(0, 8))],
        "ratio": numbers.random(),
        "nested": {"flag": number % 3 == 0, "note": "n" * (number % 70), "none": None},
    } for number in range(count)]


def json_part(numbers):
    records = make_records(numbers, 15000)
    text = json.dumps(records, sort_keys=True)
    again = json.loads(text)
    again.sort(key=lambda record: (record["name"], record["id"]))
    return len(text), again[17]["name"], sum(len(record["scores"]) for record in again)


def word_part(numbers):
    words = [f"w{numbers.randint(0, 9999)}x{'y' * numbers.randint(0, 20)}" for _ in range(150000)]
    counts = collections.Counter(words)
    by_length = collections.defaultdict(list)
    for word in words:
        by_length[len(word)].append(word.upper())
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return len(counts), ordered[:2], sum(len(group) for group in by_length.values())


def tree_part(numbers):
    root = Node(500000, 0)
    for _ in range(60000):
        insert(root, numbers.randint(0, 10**6), 1)
    total, stack = 0, [(root, 1)]
    while stack:
        node, depth = stack.pop()
        total += depth * node.value
        stack += [(child, depth + 1) for child in (node.left, node.right) if child]
    return (total,)


def text_part(numbers):
    lines = [f"{number:05d} {'z' * numbers.randint(0, 80)} end={numbers.random():.6f}"
             for number in range(60000)]
    text = "\n".join(lines)
    fields = [line.split(" ") for line in text.split("\n")]
    found = re.findall(r"(\d+) (z{3,9}) end=(0\.\d+)", text)
    return len(text), len(fields), len(found), re.sub("z+", "Z", text).count("Z")


def main():
    numbers = random.Random(20210)
    for _ in range(int(sys.argv[1])):
        for part in (json_part, word_part, tree_part, text_part):
            print(part.__name__, *part(numbers))


if __name__ == "__main__":
    main()

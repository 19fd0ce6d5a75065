"""Objects of every kind, from threads, forked children and subprocesses."""
import collections
import hashlib
import json
import os
import re
import subprocess
import sys
import threading

def work(seed):
    """Builds and drops containers; returns a digest of what was in them."""
    state = seed
    table = collections.defaultdict(list)
    for number in range(20000):
        state = (state * 1103515245 + 12345) % 2**31
        table[state % 997].append("s%d" % state * (state % 5))
        if number % 3 == 0:
            table.pop(state % 991, None)
    text = json.dumps({str(key): value for key, value in sorted(table.items())})
    again = json.loads(text)
    found = re.findall(r"s(\d+)7", text)
    big = 3 ** (5000 + seed) % (10 ** 500 + 7)
    return hashlib.sha256((text + repr(len(again)) + "".join(found) + str(big)).encode()).hexdigest()

results = {}
threads = [threading.Thread(target=lambda n=n: results.__setitem__(n, work(n))) for n in range(4)]
for thread in threads:
    thread.start()

children = []
for seed in range(4):  # Forked while the threads run.
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, work(seed).encode())
        os._exit(0)
    os.close(writing)
    children.append((seed, child, reading))
for thread in threads:
    thread.join()
for seed, child, reading in children:
    digest = os.read(reading, 1000).decode()
    assert os.waitpid(child, 0)[1] == 0
    assert digest == results[seed], (digest, results[seed])

output = subprocess.run([sys.executable, "-c", "print(sum(map(len, map(str, range(100000)))))"],
                        capture_output=True, text=True, check=True).stdout
matrix = [[(row * column) % 17 for column in range(300)] for row in range(300)]
print(output.strip(), sum(map(sum, zip(*matrix))), *sorted(results.values()))

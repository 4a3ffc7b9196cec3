"""The allocator gives back what is freed, in every thread."""

import subprocess
import sys

PROGRAM = """
import sys, threading
from ocicommon.linux import allocator

if sys.argv[1] == "frugal":
    allocator.frugal(4 << 20)

def work():
    for size in (1 << 20, 6 << 20, 1 << 20):
        blocks = [bytearray(b"x") * size for _ in range(4)]
        del blocks

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(next(line for line in open("/proc/self/status") if line.startswith("VmRSS:")).split()[1])
"""


def resident(kind: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, kind], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_what_threads_freed_is_given_back() -> None:
    assert resident("frugal") <= resident("as it is") + 2048
    assert resident("frugal") < 32 << 10

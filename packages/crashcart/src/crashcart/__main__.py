"""`python -m crashcart`, and what the launcher starts with -S: then this file's own place is the only search path."""

import sys

if sys.flags.no_site:
    sys.path.append(__file__.rpartition("/")[0].rpartition("/")[0])
else:
    sys.path[:] = [entry for entry in sys.path if entry]

from crashcart.cli import main

main()

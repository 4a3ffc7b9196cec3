"""`python -m railcar`, and what the launcher starts with -S: then this file's own place is the only search path."""

import sys

if not sys.flags.no_site:
    sys.path[:] = [entry for entry in sys.path if entry]
    archived = True
else:
    sys.path.append(__file__.rpartition("/")[0].rpartition("/")[0])
    from railcar import bytecode

    archived = bytecode.use()

from railcar.cli.main import main

main(archived)

"""`railcar validate`: report everything that is wrong with a bundle."""

import sys

from ocicommon.printable import printable

from railcar import documents
from railcar.cli.parse import Arguments, Globals


def run(options: Globals, arguments: Arguments) -> int:
    """Print a line per finding, or a JSON list; 1 when there is an error, 0 when there are at most warnings."""
    from railcar import validation

    bundle = arguments.positional[0]
    findings = validation.validate(bundle)
    failed = any(finding.severity == validation.ERROR for finding in findings)
    if arguments.flag("json"):
        entries = [
            {
                "severity": finding.severity,
                "line": finding.line,
                "column": finding.column,
                "member": finding.member,
                "text": finding.text,
            }
            for finding in findings
        ]
        sys.stdout.write(documents.indented(entries) + "\n")
        return int(failed)
    for finding in findings:
        sys.stdout.write(printable(finding.shown("config.json")) + "\n")
    if not findings:
        sys.stdout.write(f"{bundle}: nothing to mend\n")
    return int(failed)

"""`railcar doctor`: what this host can do, and what to do about what it cannot."""

import sys

from railcar import documents
from railcar.cli.parse import Arguments, Globals


def run(options: Globals, arguments: Arguments) -> int:
    """Print an answer per line, with advice beneath; 1 when containers cannot run here at all."""
    from railcar import doctor

    answers = doctor.examine(options.root)
    failed = any(answer.needed and answer.answer == doctor.NO for answer in answers)
    if arguments.flag("json"):
        entries = [
            {"name": answer.name, "answer": answer.answer, "detail": answer.detail, "advice": answer.advice}
            for answer in answers
        ]
        sys.stdout.write(documents.indented({"usable": not failed, "answers": entries}) + "\n")
        return int(failed)
    width = max(len(answer.name) for answer in answers)
    for answer in answers:
        sys.stdout.write(f"{answer.answer:<6} {answer.name:<{width}}  {answer.detail}\n")
        if answer.advice and answer.answer != doctor.YES:
            sys.stdout.write(f"{'':<6} {'':<{width}}  -> {answer.advice}\n")
    verdict = "Containers cannot run here." if failed else "Containers can run here."
    sys.stdout.write(verdict + "\n")
    return int(failed)

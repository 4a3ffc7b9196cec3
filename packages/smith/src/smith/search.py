"""Any solution, where the first choices do not go together: libsolv looks for one, favouring the same choices."""

from __future__ import annotations

from collections.abc import Sequence

import solv

from smith.errors import SmithError
from smith.problem import Candidate, Look, Need, Solution


def _reachable(requests: Sequence[int], look: Look) -> dict[int, Candidate]:
    found: dict[int, Candidate] = {}
    pending = list(requests)
    while pending:
        number = pending.pop()
        if number in found:
            continue
        found[number] = look(number)
        for need in found[number].needs:
            pending.extend(need.choices)
    return found


def search(requests: Sequence[int], look: Look) -> Solution:
    """Every package is a name of its own, so that only these relations count. SmithError when there is no solution."""
    candidates = _reachable(requests, look)
    pool = solv.Pool()
    pool.setdisttype(solv.Pool.DISTTYPE_RPM)
    pool.setarch("noarch")
    repo = pool.add_repo("candidates")
    solvables = {}
    back = {}
    for number, candidate in candidates.items():
        item = repo.add_solvable()
        item.name, item.evr, item.arch = f"p{number}", "1-1", "noarch"
        item.add_deparray(solv.SOLVABLE_PROVIDES, pool.str2id(f"p{number}"))
        for need in candidate.needs:
            item.add_deparray(solv.SOLVABLE_REQUIRES, _any_of(pool, need))
        for other in candidate.excludes:
            if other in candidates and other != number:
                item.add_deparray(solv.SOLVABLE_CONFLICTS, pool.str2id(f"p{other}"))
        solvables[number] = item
        back[item.id] = number
    repo.internalize()
    pool.createwhatprovides()
    jobs = [pool.Job(solv.Job.SOLVER_INSTALL | solv.Job.SOLVER_SOLVABLE, solvables[n].id) for n in requests]
    first = {need.choices[0] for c in candidates.values() for need in c.needs if need.choices}
    jobs += [pool.Job(solv.Job.SOLVER_FAVOR | solv.Job.SOLVER_SOLVABLE, solvables[n].id) for n in sorted(first)]
    solver = pool.Solver()
    solver.set_flag(solv.Solver.SOLVER_FLAG_IGNORE_RECOMMENDED, 1)
    problems = solver.solve(jobs)
    if problems:
        raise SmithError(_explain(problems, candidates, back))
    picked = {back[item.id] for item in solver.transaction().newsolvables()}
    return _in_order(requests, candidates, picked)


def _any_of(pool: solv.Pool, need: Need) -> int:
    if not need.choices:
        return int(pool.str2id(f"nothing: {need.text}"))
    result = int(pool.str2id(f"p{need.choices[0]}"))
    for choice in need.choices[1:]:
        result = int(pool.rel2id(result, pool.str2id(f"p{choice}"), solv.REL_OR))
    return result


def _in_order(requests: Sequence[int], candidates: dict[int, Candidate], picked: set[int]) -> Solution:
    reasons: dict[int, int | None] = dict.fromkeys(requests)
    pending = list(requests)
    while pending:
        number = pending.pop(0)
        for need in candidates[number].needs:
            for choice in need.choices:
                if choice in picked and choice not in reasons:
                    reasons[choice] = number
                    pending.append(choice)
    return Solution(tuple(reasons), reasons)


def _explain(problems: list[solv.Problem], candidates: dict[int, Candidate], back: dict[int, int]) -> str:
    lines: list[str] = []
    for problem in problems:
        for rule in problem.findallproblemrules():
            for info in rule.allinfos():
                one = candidates[back[info.solvable.id]] if info.solvable else None
                two = candidates[back[info.othersolvable.id]] if info.othersolvable else None
                text = _sentence(info, one, two, candidates)
                if text and text not in lines:
                    lines.append(text)
    return "these packages cannot be together: " + "; ".join(lines or ["no solution was found"])


def _sentence(
    info: solv.Ruleinfo, one: Candidate | None, two: Candidate | None, candidates: dict[int, Candidate]
) -> str:
    if one is not None and two is not None and info.type == solv.Solver.SOLVER_RULE_PKG_CONFLICTS:
        return f"{one.name} conflicts with {two.name}"
    if one is None:
        return ""
    wanted = info.dep.str() if info.dep else ""
    if info.type == solv.Solver.SOLVER_RULE_PKG_NOTHING_PROVIDES_DEP:
        return f"{one.name} needs {wanted.removeprefix('nothing: ')}, which no source has"
    if info.type == solv.Solver.SOLVER_RULE_PKG_REQUIRES:
        for need in one.needs:
            if need.choices and f"p{need.choices[0]}" == wanted.split(" ")[0].lstrip("("):
                return f"{one.name} needs {need.text}"
    return ""

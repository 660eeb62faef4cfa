"""How a study stands, read from its folder: numbers, and sentences for people."""

import collections
import json
import pathlib
import time
import typing
from collections.abc import Iterator

from tfxfer import architectures, config, leases, number_format, results
from tfxfer.study import failures, planning, study_file
from tfxfer.study.search import Records
from tfxfer.study.study import PRETRAIN, Study

STATES = ('done', 'running', 'waiting', 'failed')


class Progress(typing.NamedTuple):
    """How a study stands."""

    plan: planning.Plan
    running: dict[str, leases.Holder]  # By Run id.
    failed: dict[str, list[failures.Failure]]  # By Run id: those not tried again.


def progress(study: Study, workdir: str | pathlib.Path) -> Progress:
    """How a study stands, read from its folder alone."""
    plan = planning.plan(planning.cells(study), read_done(workdir))
    holders = leases.holders(workdir)
    running = {name: holders[name] for name in plan.ready if name in holders}
    failed = {}
    for name in plan.ready.keys() - running.keys():
        of_run = failures.read(workdir, name)
        if failures.final(of_run):
            failed[name] = of_run
    return Progress(plan, running, failed)


def read_done(workdir: str | pathlib.Path) -> dict[str, results.Record]:
    """Every Record of a workdir by Run id."""
    records = {}
    for path in pathlib.Path(workdir).glob('*/record.json'):
        if (record := results.read_done(path.parent)) is not None:
            records[path.parent.name] = record
    return records


def counts(now: Progress) -> dict[tuple[str, str], dict[str, int]]:
    """{(network, dataset): {one of STATES: Runs}}."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for name, run in (now.plan.done | now.plan.ready).items():
        row = found.setdefault((run.arch, run.dataset), dict.fromkeys(STATES, 0))
        row[_state(now, name)] += 1
    return found


def _state(now: Progress, name: str) -> str:
    if name in now.plan.done:
        return 'done'
    if name in now.running:
        return 'running'
    return 'failed' if name in now.failed else 'waiting'


class Pace(typing.NamedTuple):
    """How fast a study goes."""

    per_hour: float  # Runs done, since the sweep was last started.
    left: float  # Seconds of Runs that are left, one after the other.
    unknown: int  # Runs that are not in `left`: of their kind none is done.


def pace(plan: planning.Plan, workdir: str | pathlib.Path) -> Pace | None:
    """How fast a study goes; None: none has been started in the folder.

    What is left is taken to last as long as the mean of what is done: of the same
    network, dataset, setting and phase, else of the same setting and phase.
    """
    workdir = pathlib.Path(workdir)
    try:
        start = (workdir / study_file.NAME).stat().st_mtime
    except FileNotFoundError:
        return None
    seconds, since = collections.defaultdict(list), 0
    for name, run in plan.done.items():
        path = workdir / name / 'record.json'
        took = json.loads(path.read_text(encoding='utf-8'))['seconds'].get('total', 0.0)
        since += path.stat().st_mtime > start
        for key in (_kind(run), _kind(run)[2:]):
            seconds[key].append(took)
    left, unknown = 0.0, plan.waiting
    for run in plan.ready.values():
        alike = seconds.get(_kind(run)) or seconds.get(_kind(run)[2:])
        left += sum(alike) / len(alike) if alike else 0.0
        unknown += not alike
    return Pace(3600 * since / (time.time() - start), left, unknown)


def _kind(run: config.Run) -> tuple[str, ...]:
    return run.arch, run.dataset, run.setting, run.phase


def sentences(now: Progress, workdir: str | pathlib.Path) -> Iterator[str]:
    """What a person reads below the table of `counts`."""
    yield (
        f'{len(now.plan.done)} of {now.plan.total} Runs are done, '
        f'{len(now.running)} running, {len(now.failed)} failed; '
        f'{now.plan.waiting} more start when others are done.'
    )
    yield pace_sentence(pace(now.plan, workdir), len(now.running))
    for name, holder in sorted(now.running.items()):
        yield f'running: {name}, {holder}, last seen {holder.silent:.0f} s ago'
    for name, of_run in sorted(now.failed.items()):
        last = of_run[-1]
        yield (
            f'failed {len(of_run)} times: {name}, last with exit status '
            f'{last["status"]} on {last["host"]} at {last["time"]}:'
        )
        yield '  ' + last['words'].replace('\n', '\n  ')
    if now.failed:
        yield '--retry_failed tries them again.'


def pace_sentence(pace: Pace | None, running: int) -> str:
    """Runs per hour, and the time left with so many at the same time."""
    if pace is None:
        return 'No sweep has been started here.'
    rate = f'{pace.per_hour:.3g} Runs/h since the last start'
    if not running:
        return f'{rate}; nothing is running.'
    left = number_format.duration(pace.left / running)
    more = f', and {pace.unknown} Runs of kinds not timed yet' if pace.unknown else ''
    return f'{rate}; about {left} left{more}.'


def best_scores(plan: planning.Plan, done: Records) -> str:
    """The best test scores so far, one per dataset, in a few words."""
    best: dict[str, tuple[float, config.Run]] = {}
    for name in plan.done:
        run, score = done[name].run, done[name].score
        if score is None or run.setting == PRETRAIN:
            continue
        if run.dataset not in best or score > best[run.dataset][0]:
            best[run.dataset] = score, run
    ranked = sorted(best.values(), key=lambda pair: -pair[0])
    shown = [
        f'{architectures.short(run.arch)} {run.setting} '
        f'{number_format.percent(score)} %'
        + (f' on {run.dataset.rpartition("/")[2]}' if len(best) > 1 else '')
        for score, run in ranked[:3]
    ]
    more = f' and {len(ranked) - 3} more' if len(ranked) > 3 else ''
    return 'best ' + ', '.join(shown) + more if shown else ''

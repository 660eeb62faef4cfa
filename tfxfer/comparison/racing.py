"""A race of networks on one's own images: rates measured, then raced."""

import dataclasses
import os
import time

from tfxfer import architectures, race_log
from tfxfer.comparison.inputs import Inputs
from tfxfer.race import race
from tfxfer.study.study import Study
from tfxfer.transfer.options import ExecutionOptions


def carry_out(
    found: Inputs, options: ExecutionOptions, terms: race.Terms, started: float
) -> dict[str, list]:
    """Races the networks of a study; started: when its minutes began to count.

    Returns:
        {Run id: failures} of Runs that failed for good.

    Raises:
        KeyboardInterrupt: it was interrupted; race.json says so.
        errors.InputError, OSError: see race.Race.
    """
    (dataset,) = found.study.datasets
    terms = dataclasses.replace(terms, rates=rates(found.study, options))
    spent = (time.monotonic() - started) / 60
    terms = dataclasses.replace(terms, minutes=max(terms.minutes - spent, 1e-3))
    return race.Race(
        found.study, found.sizes[dataset], options.workdir, terms
    ).carry_out()


def rates(study: Study, options: ExecutionOptions) -> dict[str, float]:
    """Images per second once through some of a study's networks, on this machine.

    Of the cheapest network, by which the others are judged, and of those whose work is
    not known; measured once, then cached.
    """
    from tfxfer.transfer import throughput  # TensorFlow.

    size, precision = study.image_size, study.precision
    return {
        name: throughput.once(options.rates, name, size, precision, train=False).infer
        for name in _to_measure(study)
    }


def _to_measure(study: Study) -> list[str]:
    work = {}
    for name in study.archs:
        arch = architectures.known(name)
        work[name] = arch.multiply_adds if arch else None
    cheapest = (
        min((w, name) for name, w in work.items() if w) if any(work.values()) else None
    )
    unknown = [name for name, w in work.items() if not w]
    return [*([cheapest[1]] if cheapest else []), *unknown]


def nothing(workdir: str | os.PathLike) -> str:
    """What is said where a race ended before its first Run did."""
    log = race_log.read(workdir)
    unfit = [one.why for one in log.events if one.kind == 'unfit'] if log else []
    first = f' {unfit[0]}' if unfit else ''
    return (
        f'No network has been measured yet.{first} The same command with more '
        '--minutes goes on from here.'
    )

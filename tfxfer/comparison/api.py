"""The functions of `import tfxfer`: compare, load."""

import os
import pathlib
import time
import typing
from collections.abc import Mapping, Sequence

from absl import logging

from tfxfer import config_files, errors
from tfxfer.comparison import prepare, question, racing
from tfxfer.comparison.result import Result
from tfxfer.race import race
from tfxfer.study import checks, driver, executors, failures
from tfxfer.transfer.options import ExecutionOptions


def compare(
    images: str | os.PathLike,
    networks: Sequence[str] | None = None,
    settings: Sequence[str] | None = None,
    *,
    seeds: Sequence[int] | None = None,
    workdir: str | os.PathLike | None = None,
    jobs: int | None = None,
    minutes: float | None = None,
    **fields: typing.Any,
) -> Result:
    """Compares networks on images; what `tfxfer compare` does, with the same records.

    What is done is not done again; interrupted, the same call goes on from there.

    Args:
        images: a folder with one sub-folder per class, a CSV file, or a dataset's name.
        networks: their names; None: those that suit this machine.
        settings: of 'logistic', 'finetune', 'scratch'; None: logistic.
        seeds: of training; None: 0, 1 and 2.
        workdir: folder for results; None: runs/NAME, of the images' own name, unless
            that has results of other images.
        jobs: Runs at the same time; None: one per GPU, without GPUs one per core.
        minutes: until it answers: networks race on growing shares of the images, and
            those that are very improbably the best leave; None: all are measured on
            all.
        **fields: others of configs/images.py; of hyperparameters those that change:
            finetune={'steps': 2000}.

    Raises:
        errors.InputError: unknown names or values, weights or images that are missing,
            or too few minutes for any network.
        RuntimeError: every Run failed.
    """
    name = question.dataset_name(images)
    folder = question.workdir_of(name, workdir)
    base = _changed(config_files.load(question.CONFIG).to_dict(), fields)
    asked = question.asked(base, name, archs=networks, settings=settings, seeds=seeds)
    options = ExecutionOptions(folder)
    named = bool(networks) or 'archs' in fields
    if minutes is not None:
        race.check(checks.study_from(asked), minutes)
    started = time.monotonic()
    found = prepare.comparison(asked, options, named=named, say=print)
    share = executors.share(jobs)
    failures.forget(folder)

    def executor() -> executors.Local:
        return executors.Local(
            folder,
            jobs=share.jobs,
            arguments=[f'--{name}={value}' for name, value in share.flags().items()],
            gpus=share.gpus,
        )

    if minutes is None:
        outcome = driver.Driver(found.study, folder, executor()).carry_out()
        if outcome.failed:
            _tell(outcome, folder)
    else:
        terms = race.Terms(minutes, share.jobs, {}, executor, print)
        racing.carry_out(found, options, terms, started)
    try:
        result = Result(folder)
    except errors.InputError:
        if minutes is None:
            raise
        raise errors.InputError(racing.nothing(folder)) from None
    result.report()
    return result


def load(folder: str | os.PathLike) -> Result:
    """The Result of a results folder, of `compare` or of any sweep.

    Raises:
        errors.InputError: no such folder, or no finished Run in it.
    """
    return Result(folder)


def _changed(
    base: Mapping[str, typing.Any], fields: Mapping[str, typing.Any]
) -> dict[str, typing.Any]:
    """The fields with those that are given; of hyperparameters single ones.

    Raises:
        errors.InputError: an unknown hyperparameter, also of a setting that is not run.
    """
    changed = {**base, **fields}
    for name, value in fields.items():
        known = base.get(name)
        if known and isinstance(known, Mapping) and isinstance(value, Mapping):
            for key in value:
                errors.find(f'hyperparameter of {name}', known, key)
            changed[name] = {**known, **value}
    return changed


def _tell(outcome: driver.Outcome, folder: pathlib.Path) -> None:
    """Says that Runs failed; where nothing is done, as an error."""
    name, attempts = next(iter(outcome.failed.items()))
    sentence = (
        f'{len(outcome.failed)} Runs failed, such as {name}: {attempts[-1]["words"]} '
        f'(logs: {folder}/ID/log.txt). The same call tries them again.'
    )
    if not outcome.done:
        raise RuntimeError(sentence)
    logging.warning('%s', sentence)

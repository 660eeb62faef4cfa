"""What the programs that carry out studies share: flags, plan, status, the sweep."""

import dataclasses
import os
import pathlib
import re
import types

from absl import flags, logging

from tfxfer import architectures, config, datasets, errors, results, storage
from tfxfer.cli import app
from tfxfer.data import image_set, readers
from tfxfer.report import formats
from tfxfer.study import driver, executors, sweep

# A flag that is defined here is shown by the --help of the program that asked for it.
flags.disclaim_key_flags()


def resolved(study, workdir, checkpoints, data, *, lenient=False):
    """The study with what its names do not determine: folders of images, weights.

    Args:
        lenient: what is not here is left open, and said; else it is an error.

    Returns:
        (Study, sizes as sweep.loads takes them, [sentence about what is not here]).

    Raises:
        errors.InputError: images or weights are missing or broken.
    """
    digests, sizes, gaps = {}, {}, []

    def attempt(look):
        try:
            look()
        except errors.InputError as error:
            if not lenient:
                raise
            gaps.append(str(error))

    def look_at_images(name):
        dataset = datasets.find(name)
        if dataset.sizes:
            sizes[name] = *dataset.sizes, dataset.classes
        dataset, images = readers.read(
            dataset,
            image_set.Options(
                skip_broken=study.skip_broken,
                accept_counts=study.accept_counts,
                cache=pathlib.Path(workdir) / 'cache',
                data=data,
            ),
            metric=study.metric if name in study.datasets else None,
        )
        digests[name] = images.digest
        sizes[name] = *dataset.sizes, dataset.classes

    def look_at_weights(name):
        from tfxfer.transfer import resolve  # Reads checkpoints with TensorFlow.

        weights = sweep.weights_of(study, name)
        if weights not in ('keras', sweep.PRETRAIN):
            arch = architectures.ARCHITECTURES[name]
            asked = config.Run(name, '', 'finetune', config.Finetune(), weights=weights)
            digests[name] = resolve.find_weights(asked, arch, workdir, checkpoints)[1]

    for name in sorted({*study.datasets, study.source} - {''}):
        attempt(lambda name=name: look_at_images(name))
    if set(study.settings) - {'scratch'}:
        for name in study.archs:
            attempt(lambda name=name: look_at_weights(name))
    digests = {name: digest for name, digest in digests.items() if digest}
    images = {name: train + valid for name, (train, valid, *_) in sizes.items()}
    return dataclasses.replace(study, digests=digests, images=images), sizes, gaps


# What a study would take.


def show_plan(study, workdir, checkpoints, data, rates, *, measure):
    """Prints what a study would take, at rates that are given or measured here.

    Raises:
        errors.InputError: nothing says how many images a dataset has.
    """
    study, sizes, gaps = resolved(study, workdir, checkpoints, data, lenient=True)
    if absent := sorted(set(study.datasets) - set(sizes)):
        raise errors.InputError(f'How many images has {absent[0]}? {" ".join(gaps)}')
    cells = tuple(sweep.cells(study))
    done = sweep.plan(cells, driver.read_done(workdir)).done
    print(formats.md(planned(cells, sizes, rates)))
    print(f'{len(done)} of these Runs are done already.')
    for gap in gaps:
        print(f'Not here yet: {gap}')
    if measure and not rates:
        rates = find_rates(study, workdir / 'cache' / 'rates.json')
        print(formats.md(planned(cells, sizes, rates)))
        print(
            'Device-hours: this machine as one device, images in memory, without the '
            'logistic regressions themselves.'
        )


def planned(cells, sizes, rates):
    """A table of a study's Runs by kind, and how long devices would take for them.

    rates: {arch: (training images a second, images seen a second)}, or {}.
    """
    rows = {}
    for (setting, phase, arch), load in sweep.loads(cells, sizes).items():
        row = rows.setdefault((setting, phase), {'load': sweep.Load(), 'hours': 0.0})
        row['load'] += load
        if arch in rates:
            train, infer = rates[arch]
            row['hours'] += (load.trained / train + load.seen / infer) / 3600
    total = {'load': sum((row['load'] for row in rows.values()), sweep.Load())}
    total['hours'] = sum(row['hours'] for row in rows.values())
    shown = [{'kind': f'{s} {p}', **row} for (s, p), row in sorted(rows.items())]
    return formats.table(
        'plan',
        'Plan',
        [*shown, {'kind': 'all', **total}],
        {
            'kind': lambda row: row['kind'],
            'Runs': lambda row: f'{row["load"].runs:,}',
            'steps': lambda row: f'{row["load"].steps:,}',
            'training images': lambda row: f'{row["load"].trained:,}',
            'images scored': lambda row: f'{row["load"].seen:,}',
            'device-hours': lambda row: _hours(row['hours']) if rates else '',
        },
        optional=('device-hours',),
    )


def _hours(hours):
    return f'{hours:,.0f}' if hours >= 100 else f'{hours:.2g}'


def find_rates(study, path):
    """{arch: rates.Rate} of this machine, measured where they are not known yet."""
    import tqdm

    from tfxfer.transfer import environment, throughput

    facts = environment.versions()
    where = f'{facts["device"]}, {facts["threads"]} threads'
    known, found = throughput.read(path), {}
    for name in tqdm.tqdm(study.archs, 'Measuring', unit='network'):
        key = f'{name}, {study.image_size or "own"} pixels, {study.precision}, {where}'
        if key not in known:
            known[key] = throughput.measure(name, study.image_size, study.precision)
            throughput.write(path, known)
        found[name] = known[key]
    for name, rate in found.items():
        print(f'{name}: {rate.train:.1f} images/s in training, {rate.infer:.1f} scored')
    return found


def given_rates(study, texts):
    """{arch: (train, infer)} of NAME:RATE or RATE, of training; scored is 3 times it.

    Raises:
        errors.InputError: not so written, or a network without rate.
    """
    found = {}
    for text in texts:
        name, _, number = text.rpartition(':')
        try:
            rate = float(number)
        except ValueError:
            rate = 0.0
        if rate <= 0:
            raise errors.InputError(
                f'--images_per_second takes RATE or NETWORK:RATE,...; got {text!r}.'
            )
        for arch in (name,) if name else study.archs:
            errors.find('architecture', dict.fromkeys(study.archs), arch)
            found[arch] = rate, 3 * rate
    if found and (missing := [name for name in study.archs if name not in found]):
        raise errors.InputError(
            f'--images_per_second says nothing of {", ".join(missing)}.'
        )
    return found


# How a study stands.


def show_status(study, workdir):
    """Prints how a study stands; returns whether a Run of it is set aside."""
    progress = driver.status(study, workdir)
    plan = progress.plan
    rows = {}
    for runs, kind in ((plan.done, 'done'), (plan.ready, None)):
        for name, run in runs.items():
            held, failed = name in progress.running, name in progress.failed
            state = kind or (held and 'running') or (failed and 'failed') or 'waiting'
            row = rows.setdefault(
                (run.arch, run.dataset),
                dict.fromkeys(('done', 'running', 'waiting', 'failed'), 0),
            )
            row[state] += 1
    shown = [
        {'network': arch, 'dataset': dataset, **row}
        for (arch, dataset), row in rows.items()
    ]
    heads = 'network', 'dataset', 'done', 'running', 'waiting', 'failed'
    print(formats.md(formats.table('status', 'Status', shown, {
        head: lambda row, head=head: str(row[head]) for head in heads
    })))  # fmt: skip
    total = len(plan.done) + len(plan.ready) + plan.waiting
    print(
        f'{len(plan.done)} of {total} Runs are done, {len(progress.running)} running, '
        f'{len(progress.failed)} failed; {plan.waiting} more wait for others.'
    )
    print(driver.pace(plan, workdir, len(progress.running)))
    for name, holder in sorted(progress.running.items()):
        print(f'running: {name}, {holder}, last sign {holder.silent:.0f} s ago')
    for name, faults in sorted(progress.failed.items()):
        last = faults[-1]
        print(
            f'failed {len(faults)} times: {name}, last with exit status '
            f'{last["status"]} on {last["host"]} at {last["time"]}:'
        )
        print('  ' + last['words'].replace('\n', '\n  '))
    if progress.failed:
        print('--retry_failed tries them again.')


# Carrying it out.


def shard_of(text):
    """(i, n) of I/N, numbered from 0 or from 1.

    Raises:
        errors.InputError: not so written, or I out of range.
    """
    match = re.fullmatch(r'(\d+)/(\d+)', text)
    if match is None:
        raise errors.InputError(f'--shard takes I/N, as 3/16; got {text!r}.')
    i, n = int(match[1]), int(match[2])
    if not 0 <= i <= n or not n:
        raise errors.InputError(
            f'--shard={text}: of {n} shards the first is 0 and the last {n - 1} (or, '
            f'numbered from 1, {n}).'
            if n
            else f'--shard={text}: there is no shard.'
        )
    return i % n, n


def executor_of(workdir, given):
    """The executor that the flags ask for."""
    cores = len(os.sched_getaffinity(0))
    gpus = executors.gpus()
    jobs = given.jobs.value or (len(gpus) or cores)
    threads = given.threads.value or max(1, cores // jobs)
    arguments = [f'--threads={threads}']
    if given.checkpoints.value:
        arguments.append(f'--checkpoints={given.checkpoints.value}')
    if given.keep.value:
        arguments += [
            f'--{flag.name}={flag.value}' for flag in (given.keep, *given.keep_more)
        ]
    if given.data.value:
        arguments.append(f'--data={given.data.value}')
    if given.executor.value == 'ray' or given.ray_address.value:
        return executors.Ray(
            workdir, address=given.ray_address.value, cpus=threads,
            gpus=given.gpus.value, arguments=arguments,
        )  # fmt: skip
    return executors.Local(workdir, jobs=jobs, arguments=arguments, gpus=gpus)


def main(given, after=None):
    """The program; `given` are the flags that `define` makes."""
    workdir = pathlib.Path(given.workdir.value)
    if given.status.value:
        show_status(driver.read_study(workdir), workdir)
        return
    if given.config.value is None:
        raise errors.InputError('Say what to run: --config=configs/quickstart.py')
    study = sweep.study_from(given.config.value.to_dict())
    asked = study, workdir, given.checkpoints.value, given.data.value
    if given.plan.value:
        rates = given_rates(study, given.images_per_second.value)
        show_plan(*asked, rates, measure=given.calibrate.value)
        return
    shard = shard_of(given.shard.value)
    executor = executor_of(workdir, given)
    storage.writable(workdir)
    driver.check_schema(workdir)
    study, _, _ = resolved(*asked)
    driver.write_study(workdir, study)
    if given.retry_failed.value:
        logging.info('%d Runs are tried again.', driver.forget_failures(workdir))
    outcome = driver.Driver(
        study, workdir, executor, shard=shard, wait=given.wait.value
    ).carry_out()
    logging.info(
        '%d Runs are done, %d failed, %d are with others.',
        len(outcome.done), len(outcome.failed), outcome.elsewhere,
    )  # fmt: skip
    from tfxfer import report  # Matplotlib, which --plan does without.

    path = report.write(workdir)
    records = results.read_all(workdir)
    print(report.summary(records))
    if after:
        print(after(records))
    print(path)
    if outcome.failed:
        app.stop(
            f'{len(outcome.failed)} Runs are set aside after {driver.ATTEMPTS} '
            'failures; the table lacks what depends on them. --retry_failed tries '
            f'them again. Their logs: {workdir}/ID/log.txt',
            status=1,
        )


def program(default=None, after=None):
    """Defines the flags and carries out what they say.

    Args:
        default: of --config.
        after: Records -> text to print when the study is done, or None.
    """
    given = define(default)
    app.run(lambda argv: main(given, after))


def define(default=None):
    """Flags of a program that carries out a study; each has `.value`."""
    given = types.SimpleNamespace()
    given.config = app.config_file(default)
    given.workdir = flags.DEFINE_string('workdir', 'runs/study', 'Folder for results.')
    given.plan = flags.DEFINE_boolean(
        'plan', False, 'Says what the study takes, and starts nothing.'
    )
    given.images_per_second = flags.DEFINE_list(
        'images_per_second',
        [],
        'For --plan: training images a second on a device, RATE for all networks or '
        'NETWORK:RATE,... Default: measured here.',
    )
    given.calibrate = flags.DEFINE_boolean(
        'calibrate', True, 'For --plan: measures each network, once, for some seconds.'
    )
    given.status = flags.DEFINE_boolean(
        'status', False, 'Says how the study in --workdir stands, and starts nothing.'
    )
    given.jobs = flags.DEFINE_integer(
        'jobs',
        None,
        'Runs at the same time. Default: one a GPU, without any one a core.',
        lower_bound=1,
    )
    given.threads = flags.DEFINE_integer(
        'threads',
        None,
        'Threads of each Run. Default: the cores, shared out. Another number rounds '
        'sums differently.',
        lower_bound=1,
    )
    given.shard = flags.DEFINE_string(
        'shard',
        '0/1',
        'I/N: begins with the I-th N-th of the Runs, then helps with the others. For '
        'machines that share the workdir.',
    )
    given.wait = flags.DEFINE_boolean(
        'wait', True, 'Ends when all is done; --nowait: when nothing can start here.'
    )
    given.executor = flags.DEFINE_enum(
        'executor', 'local', ('local', 'ray'), 'Where Runs run.'
    )
    given.ray_address = flags.DEFINE_string(
        'ray_address',
        None,
        'A running Ray cluster: auto, HOST:PORT or ray://HOST:PORT. Default with '
        '--executor=ray: one of this machine alone.',
    )
    given.gpus = flags.DEFINE_float(
        'gpus', 0.0, 'GPUs of each Run on a Ray cluster; 0.5: two share one.',
        lower_bound=0.0,
    )  # fmt: skip
    given.retry_failed = flags.DEFINE_boolean(
        'retry_failed', False, 'Tries Runs again that were set aside.'
    )
    given.checkpoints = app.checkpoints_folder()
    given.data = app.data_folder()
    given.keep, *given.keep_more = app.kept_images()
    return given

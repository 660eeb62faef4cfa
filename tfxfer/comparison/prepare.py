"""Everything before the first Run: networks, weights, images, looked at and said."""

from collections.abc import Callable, Mapping

from tfxfer import datasets, storage
from tfxfer.comparison import first_look, inputs, networks, question
from tfxfer.study import checks
from tfxfer.transfer.options import ExecutionOptions


def comparison(
    fields: Mapping,
    options: ExecutionOptions,
    *,
    named: bool,
    say: Callable[[str], object],
) -> inputs.Inputs:
    """The Study of a config's fields, of one dataset, ready to be carried out.

    Args:
        fields: of the config.
        options: of all its Runs.
        named: whether the user named its networks; else those are taken that suit the
            machine and whose weights can be had.
        say: what is done with the text of the first look.

    Raises:
        errors.InputError: unknown names or values, weights that are missing, images
            that are missing or broken.
    """
    study = checks.study_from(fields)
    study, notes = networks.choose(study, options.checkpoints, named=named)
    say('\n'.join(notes))
    storage.writable(options.workdir)
    (name,) = study.datasets
    if others := question.other_datasets(options.workdir, name):
        say(
            f'{options.workdir} has results of {", ".join(others)} too; the report '
            'shows them all.'
        )
    asked = inputs.image_options(study, options)
    seen = first_look.look(datasets.find(name), asked, study.metric)
    say(first_look.describe(seen))
    if seen.fault:
        raise seen.fault
    return inputs.written(study, options, {name: (seen.dataset, seen.images)})

"""Which networks to fine-tune? A shortlist, and scores that need no fine-tuning.

    tfxfer scores --workdir=runs/images
    tfxfer scores --workdir=runs/images --source_head --probability=0.9

takes a results folder with finished Runs of the setting logistic, as `tfxfer compare`
leaves it. For each network it prints source accuracy, the accuracy of logistic
regression, the score of the shortlist, the probability to be the best once all are
fine-tuned, and scores of its cached features: kNN, class means, LogME, H-score, and
with --source_head LEEP and NCE. The same table is written into scores.csv in the
folder. docs/ranking.md says what each column means. Only the shortlist is advice.
"""

import pathlib

from absl import flags

from tfxfer import errors, storage
from tfxfer.cli import app


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.string('workdir', 'runs', 'Folder of a study.')
    define.string('dataset', None, 'Which, where the study has several.')
    define.boolean(
        'source_head',
        False,
        "LEEP and NCE too, by the source classifier that a network's weights have.",
    )
    define.number(
        'probability', 0.8, 'That the shortlist holds the best network, below 1.'
    )
    define.checkpoints()
    define.data()
    define.trust()
    return define.given


def main(given: app.Given) -> None:
    if not 0 < given.probability < 1:
        raise errors.InputError(
            f'--probability is above 0 and below 1, as 0.8; got {given.probability}.'
        )
    from tfxfer.comparison import scores  # Matplotlib.
    from tfxfer.report import formats
    from tfxfer.transfer.options import ExecutionOptions

    group = scores.probed(given.workdir, given.dataset)
    storage.writable(given.workdir)
    from tfxfer.transfer import environment  # TensorFlow.

    environment.check_keras()
    options = ExecutionOptions(
        given.workdir, given.checkpoints, given.data, trust=given.trust
    )
    measure = scores.of_features(options, source_head=given.source_head)
    found = scores.rank(group, given.workdir, measure, level=given.probability)
    table = scores.table(found)
    path = pathlib.Path(given.workdir) / 'scores.csv'
    with storage.replacing(path) as temporary:
        pathlib.Path(temporary).write_text(formats.csv(table), encoding='utf-8')
    print(formats.md(table))
    for sentence in found.sentences:
        print(sentence)
    print(path)

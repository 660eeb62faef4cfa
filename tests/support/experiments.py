"""Records of the further experiments, in memory, of hand-chosen numbers."""

import itertools

from tests.support import made_results as made
from tfxfer.analysis import cells, published, training_options

# Of {(scale, seed): (source, transfer)}.
SEEDS = {
    (False, 0): (0.70, {'pets': 0.60, 'dtd': 0.50}),
    (True, 0): (0.72, {'pets': 0.80, 'dtd': 0.60}),
    (False, 1): (0.71, {'pets': 0.62, 'dtd': 0.48}),
    (True, 1): (0.70, {'pets': 0.75, 'dtd': 0.65}),
    (False, 2): (0.69, {'pets': 0.58, 'dtd': 0.52}),
    (True, 2): (0.73, {'pets': 0.70, 'dtd': 0.55}),
}


def pretrained(scores):
    """Records of {(label_smoothing, dropout): {dataset: transfer score}}."""
    records = []
    for (smoothing, dropout), by_dataset in scores.items():
        hparams = {'label_smoothing': smoothing, 'dropout': dropout}
        source = made.final(
            'inception_v1', 'pretrain', 0.7, dataset='imagenet2012', hparams=hparams
        )
        records.append(source)
        records += [
            made.final(
                'inception_v1', 'logistic', score, dataset=dataset,
                weights=f'run:{source.run.id}',
                source={'dataset': 'imagenet2012', 'score': 0.7, 'images': 1000},
            )
            for dataset, score in by_dataset.items()
        ]  # fmt: skip
    return records


def fixed(scores):
    """{(dataset, setting, None): score} of logistic."""
    return {(dataset, 'logistic', None): score for dataset, score in scores.items()}


def scaled(scores, **fields):
    """Records of {(scale, seed): (source score, {dataset: score})}, all else off."""

    def one(way, seed):
        off = not (way['label_smoothing'] or way['dropout'] or way['aux'])
        found = scores.get((way['scale'], seed)) if off else None
        return found and (found[0], fixed(found[1]))

    return made.ways(one, seeds=sorted({seed for _, seed in scores}), **fields)


TWO_DATASETS = {
    (False, 0): (0.7, {'pets': 0.6, 'dtd': 0.5}),
    (True, 0): (0.7, {'pets': 0.8, 'dtd': 0.4}),
}


def switched(way, seed):
    """Every network fine-tuned plainly, with dropout, and with aux if it has one."""
    auxes = (0.0, 0.4) if way['aux'] else (0.0,)
    x = 0.5 + 0.1 * way['scale']
    return 0.7, {
        ('pets', 'finetune', (dropout, aux)): x + 0.1 * (dropout > 0) - 0.2 * (aux > 0)
        for dropout in (0.0, 0.2)
        for aux in auxes
    }


def tuned(way, seed):
    """Scores of made.ways: 2 datasets, logistic and fine-tuned with both switches."""
    x = 0.5 + 0.1 * way['scale'] - 0.05 * (way['dropout'] > 0) + 0.01 * seed
    auxes = (0.0, 0.4) if way['aux'] else (0.0,)
    found = {(name, 'logistic', None): x + d for name, d in (('pets', 0), ('dtd', 0.1))}
    for dropout, aux in itertools.product((0.0, 0.2), auxes):
        for name, d in (('pets', 0.1), ('dtd', 0.23)):
            found[name, 'finetune', (dropout, aux)] = x + d + dropout / 10 - aux / 10
    return 0.7 + 0.02 * way['scale'] + 0.01 * seed, found


# {network: (source, pets, dtd)}.
PUBLIC = {
    'k': (0.70, 0.80, 0.50),
    'l': (0.75, 0.70, 0.55),
    'm': (0.80, 0.82, 0.52),
    'n': (0.72, 0.78, 0.45),
}


OWN = {'k': (0.60, 0.70, 0.40), 'l': (0.65, 0.74, 0.46), 'o': (0.70, 0.79, 0.5)}


def public_and_own(public=PUBLIC, own=OWN, names=('pets', 'dtd')):
    """Records of {network: (source score, scores on `names`)} of both kinds."""
    records = []
    for arch, (top, *scores) in public.items():
        records += [
            made.final(arch, 'logistic', score, dataset=name, source_score=top)
            for name, score in zip(names, scores, strict=False)
        ]
    for arch, (top, *scores) in own.items():
        transfers = fixed(dict(zip(names, scores, strict=False)))
        records += made.one_way(arch, {}, 0, top, transfers)
    return records


def sizes():
    """Records of one network on pets: 10 and 20 per class, 2 seeds of scratch."""
    return [
        made.final('a', setting, score, per_class=per_class, seed=seed)
        for setting, per_class, seed, score in (
            ('finetune', 10, 0, 0.5),
            ('finetune', 20, 0, 0.6),
            ('scratch', 10, 0, 0.2),
            ('scratch', 10, 1, 0.3),
            ('scratch', 20, 0, 0.4),
        )
    ]


def lengths():
    return [
        made.final('b', setting, score, hparams={'steps': steps}, dataset='dtd')
        for setting, steps, score in (
            ('finetune', 100, 0.5),
            ('finetune', 1000, 0.7),
            ('scratch', 100, 0.1),
            ('scratch', 1000, 0.6),
        )
    ]


PUBLISHED = (
    published.Published('pets', 'Theirs', 'finetune', 0.9, 0.76, 'paper'),
    published.Published('pets', 'Old', 'finetune', 0.8, 0.7, 'paper'),
    published.Published('flowers', 'Theirs', 'finetune', 0.95, 0.76, 'paper'),
)


def trained(records):
    """training_options.Trained of the Records."""
    return training_options.trained_alike(records, cells.cells(records))


def matrix_of(scores, setting='logistic'):
    """Records of {network: {dataset: score}}."""
    return [
        made.final(network, setting, score, dataset=dataset, source_score=0.7)
        for network, row in scores.items()
        for dataset, score in row.items()
    ]

"""Eleven ImageNet networks x six small sets of photographs: does accuracy transfer?

    python -m tools.sweep --config=configs/real_networks.py --workdir=runs/real

reads networks/ and images/ of the working folder (docs/experiments.md says what is in
them): Keras files and converted TF-Slim checkpoints of 49.8 to 77.5 % ImageNet top-1.
Logistic regression on fixed features, 66 Runs, a few hours of one CPU core. Three of
the networks, fine-tuned and from scratch on two of the sets:

    python -m tools.sweep --config=configs/real_networks.py:trained --workdir=runs/real

Six networks fine-tuned on three sets with three seeds, for docs/ranking.md:

    python -m tools.sweep --config=configs/real_networks.py:finetuned \
        --workdir=runs/finetuned
"""

from configs import images

# The files do not say how pixels were scaled, nor how accurate the network was.
KERAS = {
    'mobilenet_v1_0.25': 'inception:top1=0.498',
    'mobilenet_v1_0.5': 'inception:top1=0.633',
    'mobilenet_v2_0.35': 'inception:top1=0.603',
    'densenet_121': 'torch:top1=0.75',
}
# In networks/NAME.weights.h5. Only mobilenet_v1 is the study's public checkpoint.
SLIM = (
    'mobilenet_v1_0.5_224',
    'mobilenet_v1_0.75_224',
    'mobilenet_v1',
    'mobilenet_v2_0.5_224',
    'mobilenet_v2_0.75_224',
    'mobilenet_v2',
    'inception_v3',
)
SETS = ('flowers5', 'flowers40', 'textures10', 'trash6', 'cifar10', 'cifar100')


def get_config(part='logistic'):
    config = images.get_config()
    models = {
        name: f'model:networks/{name}.keras:scaling={rest}'
        for name, rest in KERAS.items()
    }
    config.archs = (*models.values(), *SLIM)
    config.datasets = tuple(f'folder:images/{name}' for name in SETS)
    config.weights = 'networks/{arch}.weights.h5'
    if part == 'finetuned':
        # Those that were not trained for 8 bits: a folded batch norm cannot be trained.
        # At 64 pixels, with few steps: hours of two CPU cores.
        config.archs = (*models.values(), 'mobilenet_v1', 'mobilenet_v2')
        config.datasets = tuple(
            f'folder:images/{name}' for name in ('flowers5', 'textures10', 'trash6')
        )
        config.settings = ('logistic', 'finetune')
        config.image_size = 64
        config.finetune.update(
            {
                'batch': 16, 'steps': 200, 'lrs': (0.0003, 0.001, 0.003),
                'wds': (1e-5,), 'min_area': 0.3,
            }
        )  # fmt: skip
    if part == 'trained':
        # At 96 pixels, with few steps: for a CPU.
        config.archs = tuple(models[name] for name in list(KERAS)[:3])
        config.datasets = ('folder:images/flowers5', 'folder:images/trash6')
        config.settings = ('logistic', 'finetune', 'scratch')
        config.image_size = 96
        config.finetune.update(
            {'batch': 16, 'steps': 100, 'lrs': (0.01,), 'wds': (1e-5,)}
        )
        config.scratch.update(
            {'batch': 16, 'steps': 200, 'lrs': (0.1,), 'wds': (1e-5,)}
        )
    return config

"""How many images does each setting need? Inception v4, few images per class (Fig. 9).

    python -m tools.dataset_size --data=MY_DATA --workdir=runs/dataset_size

gives the score against training images per class, for logistic, fine-tuned and from
scratch on the same nested, stratified subsets, with three seeds; and the number of
images at which scratch reaches what fine-tuning reaches with half of them. Many days of
GPUs with the whole grid (--plan says how many); --config.search=halving takes a sixth.
Each seed has a subset of its own, on which its own trials choose: a choice made on
another subset would have seen more images than the size says.

Batches, divided grids and lengths (1,000 steps or 100 epochs, whichever is more) are
remembered from the paper's supplement, not confirmed.
"""

from configs import quickstart, study
from tfxfer import config as protocol


def get_config():
    config = study.get_config()
    config.archs = ('inception_v4',)
    config.datasets = ('food101', 'cifar10', 'cifar100')
    config.per_class = (5, 10, 20, 40, 80, 160, 320)
    config.choose = 'every'
    for setting, batch, share in (('finetune', 64, 4), ('scratch', 16, 16)):
        grid = protocol.GRIDS[setting]
        lrs = tuple(lr / share for lr in grid['lrs'])
        config[setting] = quickstart.grid(
            setting, batch=batch, steps=1000, epochs=100.0, lrs=lrs, wds=grid['wds']
        )
    return config

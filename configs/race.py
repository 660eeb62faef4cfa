"""Networks beside those of configs/real_networks.py, for tools.bench_race.

    python -m tools.sweep --config=configs/real_networks.py --workdir=runs/real
    python -m tools.sweep --config=configs/race.py:random --workdir=runs/real
    python -m tools.sweep --config=configs/race.py:digits --workdir=runs/real
    python -m tools.sweep --config=configs/race.py:cifar100 --workdir=runs/real

make the fourteen networks whose races tools.bench_race replays: eleven of ImageNet, one
with random weights (docs/racing.md says how its file is made), one pretrained on digits
at 32 pixels and one on images/cifar100 at 64. Logistic regression
on the same six sets of photographs: 18 Runs of these, and two that pretrain. About
fifteen minutes of one CPU core.
"""

from configs import real_networks

NETWORK = 'mobilenet_v1_0.25'


def get_config(part='random'):
    config = real_networks.get_config()
    config.seeds = (0,)
    if part == 'random':
        config.archs = (f'model:networks/random_{NETWORK}.keras:scaling=inception',)
        return config
    config.archs = (NETWORK,)
    config.weights = 'pretrain'
    if part == 'digits':  # As configs/quickstart.py pretrains.
        config.source, config.image_size = 'digits_0_4', 32
        return config
    config.source, config.image_size = 'folder:images/cifar100', 64
    config.pretrain.update({'steps': 200, 'flip': True, 'min_area': 0.3})
    return config

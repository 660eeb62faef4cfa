"""How long must one train? Inception v4, fine-tuned and from scratch (Fig. 8).

    python -m tools.sweep --config=configs/convergence.py --data=MY_DATA --plan

says what it costs; start it without --plan. Each length has its own cosine schedule and
its own grid, because training that is stopped early is not the same as short training;
what the first seed's trials choose is trained with three seeds. The table `convergence`
gives the steps and epochs to 90 % of the best odds, and how many times longer scratch
takes; the paper reports 1,151 steps (26 epochs) and 19,531 steps (444 epochs), 17
times.
"""

from configs import study


def get_config():
    config = study.get_config()
    config.archs = ('inception_v4',)
    config.settings = ('finetune', 'scratch')
    config.lengths = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 40_000)
    return config

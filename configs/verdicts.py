"""One small network x three settings x three seeds on digits, to be repeated.

    python -m tools.bench_verdicts --workdir=runs/verdicts

carries it out twenty times, with other seeds and numbers of threads each time, and says
how often the verdict was the same; 14 Runs each, a few minutes on a CPU core.
"""

from configs import quickstart


def get_config():
    config = quickstart.get_config()
    config.archs = ('mobilenet_v1_0.25',)
    # As from scratch, so that these two settings are about equally good.
    config.finetune.update({'steps': 100, 'lrs': (0.1,)})
    return config

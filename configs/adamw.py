"""Fine-tuning by AdamW, as ConvNeXt and transformers are known to want it.

    python -m tools.sweep --config=configs/adamw.py --config.datasets=folder:/my/images

fine-tunes ConvNeXt-Tiny with Keras' weights: ten points of the grid, 5,000 steps each
with one epoch of warm-up, and the best of them with three seeds: hours on a GPU. The
paper's recipe is SGD; beside it, in the same workdir, --config=configs/images.py
--config.settings=finetune --config.archs=keras:ConvNeXtTiny.
"""

from configs import images, quickstart
from tfxfer import config as protocol


def get_config():
    config = images.get_config()
    config.archs = ('keras:ConvNeXtTiny',)
    config.settings = ('finetune',)
    for setting, values in protocol.ADAMW_GRIDS.items():
        config[setting] = quickstart.grid(
            setting, optimizer='adamw', warmup=1.0, steps=5_000, batch=64, **values
        )
    return config

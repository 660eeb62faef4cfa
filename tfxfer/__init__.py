"""Which ImageNet network transfers best to my images, how, and how sure is that?"""

import os
import shutil

__version__ = '0.1.0'

# TensorFlow's own chatter; must be set before it is imported. Without a GPU one of its
# errors is that CUDA does not start.
os.environ.setdefault(
    'TF_CPP_MIN_LOG_LEVEL', '2' if shutil.which('nvidia-smi') else '3'
)

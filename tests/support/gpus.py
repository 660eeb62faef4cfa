"""How much memory of the GPUs is in use, as nvidia-smi says it."""

import shutil
import subprocess

import pytest


def memory_or_skip() -> list[tuple[int, int]]:
    """(MiB in use, MiB in all) of each GPU."""
    if not shutil.which('nvidia-smi'):
        pytest.skip('there is no nvidia-smi')
    command = [
        'nvidia-smi',
        '--query-gpu=memory.used,memory.total',
        '--format=csv,noheader,nounits',
    ]
    lines = subprocess.check_output(command, text=True).splitlines()
    return [(int(used), int(whole)) for used, whole in (a.split(',') for a in lines)]

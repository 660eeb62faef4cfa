"""What else the numbers may depend on: versions, device, threads."""

import json
import os
import pathlib
import platform
import re
import subprocess
import typing
from importlib import metadata

import tfxfer
from tfxfer import errors

if typing.TYPE_CHECKING:
    from tfxfer.training import compilation

LIBRARIES = (
    'tensorflow',
    'keras',
    'numpy',
    'scipy',
    'scikit-learn',
    'tf-models-official',
    'openvino',
)
THREAD_VARIABLES = ('TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS')


def versions(
    devices: typing.Any = None, compiled: 'compilation.Choice | None' = None
) -> dict[str, typing.Any]:
    """Code, libraries, devices and threads.

    devices: a tf.distribute.Strategy; compiled: whether XLA compiled training steps.
    """
    import tensorflow as tf

    from tfxfer.models import float32

    physical = tf.config.list_physical_devices('GPU') or ['CPU']
    return {
        'tfxfer': tfxfer.__version__,
        'commit': commit(),
        'python': platform.python_version(),
        **{name: metadata.version(name) for name in LIBRARIES},
        'device': f'{len(physical)} x {_device(tf, physical[0])}',
        'replicas': devices.num_replicas_in_sync if devices else 1,
        'jit_compile': compiled.jit_compile if compiled else False,
        'jit_compile_reason': compiled.reason if compiled else None,
        'tf32': float32.tf32_allowed(),
        'threads': int(os.environ.get(THREAD_VARIABLES[0]) or os.cpu_count() or 1),
        'host': platform.node(),
    }


def _device(tf, device):
    if device != 'CPU':
        return tf.config.experimental.get_device_details(device).get(
            'device_name', 'GPU'
        )
    return cpu_field('model name') or platform.machine()


def cpu_field(name: str) -> str:
    """What /proc/cpuinfo says of the first core under a name; '' if nothing."""
    for line in pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines():
        if re.match(rf'{re.escape(name)}\s*:', line):
            return line.partition(':')[2].strip()
    return ''


def commit() -> str | None:
    """The commit of a checkout, with + where files differ from it; None elsewhere."""
    root = pathlib.Path(__file__).parents[2]
    if not (root / '.git').exists():
        return None
    command = ['git', '-C', str(root), 'describe', '--always', '--abbrev=12']
    done = subprocess.run(
        [*command, '--exclude=*', '--dirty=+'], capture_output=True, text=True
    )
    return done.stdout.strip() or None


def check_keras() -> None:
    """Refuses settings of Keras under which nothing here works, before it is loaded.

    Raises:
        errors.InputError: another backend than TensorFlow, or channels first.
    """
    home = os.environ.get('KERAS_HOME') or pathlib.Path.home() / '.keras'
    file = pathlib.Path(home) / 'keras.json'
    try:
        settings = json.loads(file.read_bytes())
    except (OSError, ValueError):  # Keras goes on without it, too.
        settings = {}
    if not isinstance(settings, dict):
        settings = {}
    backend = os.environ.get('KERAS_BACKEND') or settings.get('backend', 'tensorflow')
    if backend != 'tensorflow':
        where = 'KERAS_BACKEND' if os.environ.get('KERAS_BACKEND') else file
        raise errors.InputError(
            f'{where} sets the backend of Keras to {backend!r}, and TensorFlow is '
            'needed: set the environment variable KERAS_BACKEND=tensorflow.'
        )
    if settings.get('image_data_format', 'channels_last') != 'channels_last':
        raise errors.InputError(
            f'{file} sets image_data_format to {settings["image_data_format"]!r}: set '
            'it to "channels_last" there, or KERAS_HOME to a folder without the file.'
        )


def limit_threads(count: int) -> None:
    """Sets how many threads TensorFlow and BLAS use; it changes how sums round.

    Must come before TensorFlow is imported, which reads its variables then.
    """
    import threadpoolctl

    for name in THREAD_VARIABLES:
        os.environ[name] = str(count)
    threadpoolctl.threadpool_limits(count)

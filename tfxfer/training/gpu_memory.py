"""How much of a GPU's memory a process takes, where several share the GPU.

That it takes memory as it needs it, and not all at once, the programs say in the
environment (cli/app.py), before TensorFlow is loaded.
"""

import ctypes

import tensorflow as tf

from tfxfer import errors

# What a process takes beside it: CUDA's context, the kernels of cuDNN and cuBLAS.
CONTEXT = 1024  # MiB
LEAST = 512  # MiB; less trains nothing.


def limit(share: float) -> None:
    """Gives this process a share of the memory of each of its GPUs.

    Must come before TensorFlow computes anything.

    Raises:
        errors.InputError: nothing is left to compute with.
    """
    for number, gpu in enumerate(tf.config.list_physical_devices('GPU')):
        memory = limit_of(total(number), share)
        tf.config.set_logical_device_configuration(
            gpu, [tf.config.LogicalDeviceConfiguration(memory_limit=memory)]
        )


def limit_of(total: int, share: float) -> int:
    """MiB for tensors, of a share of `total` MiB.

    Raises:
        errors.InputError: see limit.
    """
    left = int(total * share) - CONTEXT
    if left < LEAST:
        raise errors.InputError(
            f'{share:.3g} of a GPU of {total:,} MiB are too little for a process, '
            f'which needs {CONTEXT:,} MiB for CUDA alone: fewer Runs per GPU '
            '(--jobs_per_gpu, --jobs or --gpus).'
        )
    return left


def total(number: int) -> int:
    """MiB of memory of a GPU that this process sees, numbered from 0.

    Asked of CUDA's driver, as TensorFlow says it only once it computes.

    Raises:
        errors.InputError: the driver does not say.
    """
    size, device = ctypes.c_size_t(), ctypes.c_int()
    try:
        cuda = ctypes.CDLL('libcuda.so.1')
        failed = (
            cuda.cuInit(0)
            or cuda.cuDeviceGet(ctypes.byref(device), number)
            or cuda.cuDeviceTotalMem_v2(ctypes.byref(size), device)
        )
    except (OSError, AttributeError) as error:
        failed = str(error)
    if failed:
        raise errors.InputError(
            f'CUDA does not say how much memory GPU {number} has ({failed}), so that '
            'it cannot be shared: one Run per GPU, --jobs_per_gpu=1.'
        )
    return size.value // 2**20

"""When an l2 counts as solved, and the sizes at which the method changes."""

import dataclasses

# Solved means f - f* <= RTOL f* + ATOL n ln(k). Of k binary problems each must reach
# RTOL and its k-th of the rest. ATOL is what ends the weakest l2s of separable data,
# where f* is all but 0.
RTOL, ATOL = 1e-4, 1e-7
BLOCK_SIZE = 2**23  # Numbers in a block of features,
DEVICE_BLOCK_SIZE = 2**27  # and in one on a device of TensorFlow's.


@dataclasses.dataclass(frozen=True)
class Limits:
    """Tolerances and sizes of one path; programs take the defaults.

    A size is a count of numbers in an array, not of bytes.
    """

    rtol: float = RTOL
    atol: float = ATOL
    passes: int = 2000  # Over the images, before an l2 is given up.
    block_size: int = BLOCK_SIZE
    device_block_size: int = DEVICE_BLOCK_SIZE
    float64_size: float = 2**20  # Up to this size the features are in float64.
    exact_unknowns: int = 2**8  # Up to this many the Hessian is formed and solved,
    hessian_size: int = 2**24  # and up to this size of it where iterations are slow.
    # Features that OpenVINO may pack beside a quarter of all, less what the solver
    # takes: that keeps the peak below 2.5 times the features plus 500 MiB.
    packed_size: int = 2**25

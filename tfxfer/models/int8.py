"""A network of OpenVINO's in 8-bit integers, quantised after training by NNCF."""

import contextlib
import importlib.util
import io
import logging
import typing
from collections.abc import Iterator

import numpy as np

from tfxfer import errors, openvino_runtime

_PRODUCTS = ('Convolution', 'GroupConvolution', 'MatMul')


def check() -> None:
    """Whether networks can be quantised here.

    Raises:
        errors.InputError: NNCF is not installed.
    """
    if importlib.util.find_spec('nncf') is None:
        raise errors.InputError(
            'precision=int8 needs NNCF: pip install "tfxfer[int8]". Or use float32.'
        )


def quantised(graph: typing.Any, images: np.ndarray, name: str) -> typing.Any:
    """A graph with quantised convolutions and products.

    Weights get a range per channel and one bit less than they could have: sums of two
    products then fit 16 bits, so that CPUs with and without VNNI give the same.

    Args:
        graph: openvino.Model of images [b, h, w, 3].
        images: [n, h, w, 3] as the graph takes them: the ranges of what layers compute
            are those that it has for them.
        name: of the network, for messages.

    Returns:
        openvino.Model.

    Raises:
        errors.InputError: NNCF cannot quantise it, or finds nothing to quantise.
    """
    shape = tuple(graph.inputs[0].shape)
    batches = np.resize(images, (-(-len(images) // shape[0]), *shape))  # Some again.
    with _quiet_nncf() as nncf:
        options = nncf.AdvancedQuantizationParameters(
            overflow_fix=nncf.OverflowFix.ENABLE
        )
        try:
            found = nncf.quantize(
                graph,
                nncf.Dataset(list(batches)),
                subset_size=len(batches),
                target_device=nncf.TargetDevice.CPU,
                advanced_parameters=options,
            )
        except Exception as error:  # NNCF and OpenVINO raise many kinds.
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise errors.InputError(
                f'NNCF cannot quantise {name} ({reason[-1]}). Use float32.'
            ) from error
    if not any(map(_of_integers, found.get_ops())):
        raise errors.InputError(
            f'{name} has no layer that could be computed in int8. Use float32.'
        )
    return found


def _of_integers(operation: typing.Any) -> bool:
    """Whether it is a product or convolution of numbers that are quantised."""
    if operation.get_type_name() not in _PRODUCTS:
        return False
    return operation.input_value(0).get_node().get_type_name() == 'FakeQuantize'


@contextlib.contextmanager
def _quiet_nncf() -> Iterator[typing.Any]:
    """The module nncf, which logs and draws bars on standard output.

    OpenVINO first: NNCF then has no reporting over the network either.
    """
    openvino_runtime.library()
    handlers = logging.root.handlers[:]
    import nncf

    logging.root.handlers[:] = handlers
    # After its own set_log_level, warnings of other libraries were lost.
    logging.getLogger('nncf').setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):
        yield nncf

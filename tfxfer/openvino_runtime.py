"""OpenVINO on this machine's CPU, as all that use it here must have it."""

import functools
import logging
import os
import sys
import threading
import types
import typing

# Of an int8 network, that of the layers which are not quantised.
PRECISIONS = {'float32': 'f32', 'bfloat16': 'bf16', 'int8': 'f32'}
_FIRST = threading.Lock()


@functools.cache
def library() -> types.ModuleType:
    """The module openvino, imported so that it does not report that over the network.

    Its Python is used here once, by one thread: two whose first use it is can wait for
    each other forever.
    """
    with _FIRST:
        modules: dict[str, typing.Any] = sys.modules
        modules.setdefault('openvino_telemetry', None)  # As if not installed.
        handlers = logging.root.handlers[:]
        import openvino

        logging.root.handlers[:] = handlers  # It removes absl's.
        openvino.Type.f32.to_dtype()
        return openvino


@functools.cache
def core() -> typing.Any:
    """openvino.Core, one for the process.

    A Core gives signal handlers a stack that goes with it: after it a SIGTERM can end
    in a segmentation fault.
    """
    return library().Core()


def compiled(graph: typing.Any, hint: str, precision: str) -> typing.Any:
    """openvino.CompiledModel of an openvino.Model.

    Args:
        graph: openvino.Model.
        hint: 'THROUGHPUT' of requests that run side by side, or 'LATENCY' of one.
        precision: of the arithmetic, one of PRECISIONS.
    """
    options: dict[str, typing.Any] = {
        'PERFORMANCE_HINT': hint,
        'INFERENCE_PRECISION_HINT': PRECISIONS[precision],
        # Several Runs on one machine would all take its first cores.
        'ENABLE_CPU_PINNING': False,
    }
    # What limits TensorFlow limits its helper.
    if threads := os.environ.get('TF_NUM_INTRAOP_THREADS'):
        options['INFERENCE_NUM_THREADS'] = int(threads)
    return core().compile_model(graph, 'CPU', options)

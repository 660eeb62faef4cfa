"""PyTorch's side of tools.bench_features, in a process that has no TensorFlow.

Triton, which torchvision and torch.compile load, crashes a process that has loaded
TensorFlow before it.
"""

import contextlib
import dataclasses
import json
import multiprocessing
import multiprocessing.connection
import subprocess
import sys
import time
import typing
from collections.abc import Callable

import numpy as np

from tfxfer import architectures, config

TURN = 16  # Batches of a turn on a GPU.
# timm has no small NASNet, and no narrow MobileNet v1.
TIMM = {
    'mobilenet_v1': 'mobilenetv1_100',
    'mobilenet_v2': 'mobilenetv2_100',
    'resnet_50': 'resnet50',
    'resnet_101': 'resnet101',
    'resnet_152': 'resnet152',
    'inception_v3': 'inception_v3',
    'inception_v4': 'inception_v4',
    'inception_resnet_v2': 'inception_resnet_v2',
    'densenet_121': 'densenet121',
    'densenet_169': 'densenet169',
    'densenet_201': 'densenet201',
    'nasnet_large': 'nasnetalarge',
}
Run = Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class PyTorch:
    """A contender: timm's network of the name, channels last, weights of its own.

    Attributes:
        precision: float32, tf32, bfloat16 or float16.
        compiled: by torch.compile.
        gpu: or on the CPU, in float32.
    """

    precision: str = 'float32'
    compiled: bool = False
    gpu: bool = False


def images_of(name: str, batch: int) -> np.ndarray:
    """u8 [batch, s, s, 3], random, of a network's own size."""
    size = architectures.ARCHITECTURES[name].input_size
    shape = batch, size, size, 3
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def started(
    contender: PyTorch, name: str, batch: int
) -> multiprocessing.connection.Connection:
    """This end of the pipe to a process that runs `serve`; recv: None, or why not."""
    here, there = multiprocessing.Pipe()
    fields = json.dumps([dataclasses.asdict(contender), name, batch])
    command = [sys.executable, '-m', __name__, str(there.fileno()), fields]
    subprocess.Popen(command, pass_fds=[there.fileno()])
    there.close()
    return here


def serve(pipe: typing.Any, contender: PyTorch, name: str, batch: int) -> None:
    """Sends None, or why it cannot take part; then its rates, see `send_rates`."""
    try:
        make = _on_gpu if contender.gpu else _on_cpu
        run = make(contender, name, images_of(name, batch))
        run()
    except ImportError as error:
        pipe.send(str(error))
        return
    pipe.send(None)
    send_rates(pipe, run)


def send_rates(pipe: typing.Any, run: Run) -> None:
    """Sends images a second of run() whenever it gets True, until it gets False."""
    while pipe.recv():
        run()  # Another had the caches.
        start = time.perf_counter()
        count = len(run())
        pipe.send(count / (time.perf_counter() - start))


def _network(name: str) -> typing.Any:
    import timm

    if name not in TIMM:
        raise ImportError(f'timm has no {name}')
    return timm.create_model(TIMM[name], num_classes=0).eval()


def _on_cpu(contender: PyTorch, name: str, images: np.ndarray) -> Run:
    """A function that returns the features of a batch."""
    import torch

    other = _network(name).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run():
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)  # Channels last as it is.
        return other(pixels.float() / 127.5 - 1).numpy()

    return run


def _on_gpu(contender: PyTorch, name: str, images: np.ndarray) -> Run:
    """The same of several batches; nothing waits before the last one."""
    import torch

    if not torch.cuda.is_available():
        raise ImportError('PyTorch sees no GPU')
    tf32 = contender.precision == 'tf32'
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    half = contender.precision in config.HALF
    dtype = getattr(torch, contender.precision) if half else torch.float32
    other = _network(name).cuda().to(memory_format=torch.channels_last, dtype=dtype)
    if contender.compiled:
        other = torch.compile(other)
    host = torch.from_numpy(images).pin_memory()

    @torch.inference_mode()
    def run():
        found = []
        for _ in range(TURN):
            pixels = host.cuda(non_blocking=True).permute(0, 3, 1, 2)
            found.append(other(pixels.to(dtype) / 127.5 - 1).float())
        return torch.cat(found).cpu().numpy()

    return run


def main(handle: str, fields: str) -> None:
    """Of the process: `started` says what the arguments are."""
    contender, name, batch = json.loads(fields)
    with multiprocessing.connection.Connection(int(handle)) as pipe:
        with contextlib.suppress(EOFError, KeyboardInterrupt):  # The parent has ended.
            serve(pipe, PyTorch(**contender), name, batch)


if __name__ == '__main__':
    main(*sys.argv[1:])

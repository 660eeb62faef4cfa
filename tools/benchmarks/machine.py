"""The machine that a benchmark runs on, and what on it a figure depends on."""

import dataclasses
import os
import platform
import subprocess
import typing
from collections.abc import Iterable
from importlib import metadata

from tfxfer.transfer import environment

# Vector extensions by words of /proc/cpuinfo: x86's flags, ARM's Features.
VECTORS = {
    'AVX2': ('avx2',),
    'AVX-512': ('avx512f',),
    'VNNI': ('avx512_vnni', 'avx_vnni'),
    'bfloat16': ('avx512_bf16', 'bf16'),
    'float16': ('avx512_fp16', 'asimdhp'),
    'AMX': ('amx_tile',),
    'AMX bfloat16': ('amx_bf16',),
    'NEON': ('asimd',),
    'SVE': ('sve',),
}
# Variables that decide how many threads compute, or by which kernels.
VARIABLES = (
    'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'OPENBLAS_CORETYPE', 'MKL_NUM_THREADS',
    'TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS', 'TF_ENABLE_ONEDNN_OPTS',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a table is headed by: two rows of one table are of equal Machines."""

    processor: str  # As /proc/cpuinfo names it; '' if that was not recorded.
    vectors: tuple[str, ...]  # Of VECTORS.
    cores: int  # That the process may use.
    gpu: str = ''  # '' for none.

    def __str__(self) -> str:
        cores = f'{self.cores} core{"s" * (self.cores > 1)} of {self.processor}'
        if not self.processor:
            cores = f'{self.cores} CPU core{"s" * (self.cores > 1)}'
        vectors = f' with {", ".join(self.vectors)}' if self.vectors else ''
        return cores + vectors + (f'; {self.gpu}' if self.gpu else '')


def from_dict(fields: dict[str, typing.Any]) -> Machine:
    """The Machine of which dataclasses.asdict made the fields."""
    return Machine(**{**fields, 'vectors': tuple(fields['vectors'])})


def here() -> Machine:
    """This machine."""
    return Machine(
        environment.cpu_field('model name') or platform.machine(),
        vectors(environment.cpu_field('flags') or environment.cpu_field('Features')),
        len(os.sched_getaffinity(0)),
        gpus(),
    )


def vectors(words: str) -> tuple[str, ...]:
    """The names of VECTORS that a line of /proc/cpuinfo has a word of."""
    there = set(words.split())
    return tuple(name for name, any_of in VECTORS.items() if there & set(any_of))


def gpus() -> str:
    """'NVIDIA H200', '2 x NVIDIA A100', or '' without a GPU or its driver."""
    command = ['nvidia-smi', '--query-gpu=name', '--format=csv,noheader']
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return ''
    names = done.stdout.splitlines() if done.returncode == 0 else []
    counts = {name: names.count(name) for name in names}
    return ', '.join(f'{n} x {name}' if n > 1 else name for name, n in counts.items())


def libraries(names: Iterable[str]) -> dict[str, str]:
    """{distribution: version}, without those that are not installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def threads() -> dict[str, str]:
    """Those of VARIABLES that are set; none: every library takes all cores."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}

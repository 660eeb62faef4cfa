"""Machines as Linux describes them."""

import os
import platform

import keras

from tools.benchmarks import machine

# Lines of /proc/cpuinfo, shortened: Sapphire Rapids, Zen 3, Neoverse V2.
SAPPHIRE_RAPIDS = (
    'fpu avx2 avx512f avx512_vnni avx512_bf16 avx512_fp16 amx_tile amx_bf16'
)
ZEN_3 = 'fpu sse4_2 fma avx avx2'
NEOVERSE = 'fp asimd asimdhp sve bf16'


def test_vector_extensions_by_their_words():
    assert machine.vectors(ZEN_3) == ('AVX2',)
    assert machine.vectors(SAPPHIRE_RAPIDS) == (
        'AVX2', 'AVX-512', 'VNNI', 'bfloat16', 'float16', 'AMX', 'AMX bfloat16',
    )  # fmt: skip
    assert machine.vectors(NEOVERSE) == ('bfloat16', 'float16', 'NEON', 'SVE')


def test_this_machine_is_as_the_system_says():
    here = machine.here()
    assert here.cores == len(os.sched_getaffinity(0))
    assert here.processor
    if platform.machine() == 'x86_64':
        words = open('/proc/cpuinfo').read().split()
        assert ('AVX2' in here.vectors) == ('avx2' in words)
    assert machine.from_dict(vars(here)) == here


def test_a_machine_in_words():
    known = machine.Machine('Xeon', ('AVX2', 'AVX-512'), 2, '2 x NVIDIA A100')
    assert str(known) == '2 cores of Xeon with AVX2, AVX-512; 2 x NVIDIA A100'
    assert str(machine.Machine('', ('AVX-512',), 2)) == '2 CPU cores with AVX-512'


def test_versions_of_what_is_installed():
    assert machine.libraries(['keras', 'no_such_library']) == {
        'keras': keras.__version__
    }


def test_threads_are_the_variables_that_are_set(monkeypatch):
    for name in machine.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert machine.threads() == {}
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    assert machine.threads() == {'OMP_NUM_THREADS': '1'}


def test_gpus_are_those_that_their_driver_lists(tmp_path, monkeypatch):
    program = tmp_path / 'nvidia-smi'
    monkeypatch.setenv('PATH', str(tmp_path))
    assert machine.gpus() == ''
    program.write_text(
        '#!/bin/sh\necho NVIDIA A100\necho NVIDIA A100\necho NVIDIA T4\n'
    )
    program.chmod(0o755)
    assert machine.gpus() == '2 x NVIDIA A100, NVIDIA T4'
    program.write_text('#!/bin/sh\necho No devices were found\nexit 6\n')
    assert machine.gpus() == ''

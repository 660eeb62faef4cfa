import pytest

from tfxfer import errors
from tfxfer.training import gpu_memory


def test_a_share_leaves_room_for_what_is_not_tensors():
    # Of 80 GiB a half is 40, less 1 for CUDA and its libraries.
    assert gpu_memory.limit_of(80 * 1024, 0.5) == 39 * 1024
    # All of them fit, however many there are.
    for count in range(1, 21):
        each = gpu_memory.limit_of(81_559, 1 / count) + gpu_memory.CONTEXT
        assert count * each <= 81_559


def test_a_share_with_nothing_left_is_refused():
    with pytest.raises(errors.InputError, match='0.125 of a GPU of 8,192 MiB'):
        gpu_memory.limit_of(8192, 1 / 8)


def test_where_the_driver_does_not_say_how_much_there_is_one_run_has_the_gpu():
    with pytest.raises(errors.InputError, match='one Run per GPU, --jobs_per_gpu=1'):
        gpu_memory.total(99)

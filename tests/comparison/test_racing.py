from tests.support import studies
from tests.support.races import FIELDS
from tfxfer.comparison import racing
from tfxfer.transfer import throughput
from tfxfer.transfer.options import ExecutionOptions


def test_the_rate_of_the_cheapest_is_measured_once_and_cached(
    fakes, tmp_path, monkeypatch
):
    study = studies.study(
        {**FIELDS, 'archs': ('tiny', 'mobilenet_v1'), 'weights': 'run:none'}
    )
    options = ExecutionOptions(tmp_path)
    # What is known of the work of one network says nothing of another's.
    assert racing._to_measure(study) == ['mobilenet_v1', 'tiny']
    study = studies.study({**FIELDS, 'archs': ('tiny',), 'weights': 'run:none'})
    found = racing.rates(study, options)
    assert found['tiny'] > 10  # Two layers of 8 x 8 pixels.

    def again(*arguments, **options):
        raise AssertionError('measured again')

    monkeypatch.setattr(throughput, 'measure_inference', again)
    assert racing.rates(study, options) == found

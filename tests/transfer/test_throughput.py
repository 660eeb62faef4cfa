import pytest

from tests.support import saved_models
from tfxfer.models import openvino
from tfxfer.transfer import throughput


def test_a_network_trains_and_infers_so_many_images_per_second(fakes):
    rate = throughput.measure('tiny')
    assert rate.train > 0 and rate.infer > 0


def test_a_saved_model_is_measured_though_it_is_not_trained(tmp_path, monkeypatch):
    path = saved_models.of_module(tmp_path / 'a')
    for here in (True, False):
        monkeypatch.setattr(openvino, 'available', lambda here=here: here)
        rate = throughput.measure(f'model:{path}:scaling=none:size=16')
        assert rate.infer > rate.train > 0


def test_rates_are_read_as_they_were_written(tmp_path):
    path, rates = tmp_path / 'new/rates.json', {'tiny': throughput.Rate(12.5, 50.0)}
    assert throughput.read(path) == {}
    throughput.write(path, rates)
    assert throughput.read(path) == rates


@pytest.mark.parametrize('text', ['', '{"tiny": [12.5, 50.0]}'])
def test_rates_that_are_damaged_or_of_an_earlier_version_are_measured_again(
    tmp_path, caplog, text
):
    path = tmp_path / 'rates.json'
    path.write_text(text)
    assert throughput.read(path) == {} and 'made anew' in caplog.text


def test_a_digit_that_changed_in_a_file_of_rates_is_noticed(tmp_path):
    path = tmp_path / 'rates.json'
    throughput.write(path, {'tiny': throughput.Rate(12.5, 50.0)})
    path.write_text(path.read_text().replace('12.5', '92.5'))
    assert throughput.read(path) == {}

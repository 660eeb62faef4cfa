from tfxfer.transfer import throughput


def test_a_network_trains_and_infers_so_many_images_per_second(fakes):
    rate = throughput.measure('tiny')
    assert rate.train > 0 and rate.infer > 0


def test_rates_are_read_as_they_were_written(tmp_path):
    path, rates = tmp_path / 'new/rates.json', {'tiny': throughput.Rate(12.5, 50.0)}
    assert throughput.read(path) == {}
    throughput.write(path, rates)
    assert throughput.read(path) == rates

import re

import numpy as np
import pytest

from tests.support import full_size
from tfxfer.cli import app
from tools import simulate_statistics as simulation

STUDIES = {2: 500, 6: 400, 9: 300, 18: 200, 48: 100}


def test_the_simulated_classifiers_have_the_accuracy_that_they_are_judged_by():
    scenario = simulation.SCENARIOS[-1]
    rng = np.random.default_rng(0)
    drawn = [scenario.outcomes(40, rng).right for _ in range(20)]
    scores = [[one.mean() for one in right] for right in drawn]
    # 800 classifiers, of which 40 share their images.
    assert np.mean(scores) == pytest.approx(scenario.accuracy, abs=0.01)
    assert 0.7 < scenario.accuracy < 0.95


@pytest.mark.parametrize(
    'count', full_size.marked(simulation.COUNTS, slow=[simulation.COUNTS[0]])
)
@pytest.mark.parametrize('scenario', simulation.SCENARIOS[:-1], ids=lambda s: s.name)
def test_of_equals_the_best_is_rarely_significant_and_its_interval_right(
    scenario, count
):
    studies = STUDIES[count]
    rates = simulation.simulate(scenario, count, studies)
    # Nominal 5 and 95 %, within 1 and 2 points; beside those, three standard errors
    # of so many studies.
    error = 3 * np.sqrt(0.05 * 0.95 / studies)
    assert rates.significant <= 0.06 + error
    assert 0.93 - error <= rates.covered <= 0.97 + error
    if count >= 6:  # What it would be without a correction.
        assert rates.plain > 0.2 and rates.naive < 0.95


def test_the_program_prints_a_row_for_each_number_of_classifiers(capsys):
    app.call(simulation, ['--studies=2', '--largest=6'])
    rows = re.findall(r'^ +(\d+) \| .* %$', capsys.readouterr().out, re.MULTILINE)
    assert rows == ['2', '6'] * len(simulation.SCENARIOS)

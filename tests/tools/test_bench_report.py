import re

import pytest

from tfxfer import errors
from tfxfer.cli import app
from tools import bench_report


def test_the_bench_times_a_made_study(program, tmp_path):
    done = program(
        'tools.bench_report', '--networks=2', '--datasets=1', '--share=0.005',
        f'--keep={tmp_path}',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # 2 networks x 3 settings, and 56 trials of each finetune and scratch.
    last = done.stdout.splitlines()[-1]
    assert last.startswith('6 cells, 230 Records, ')
    assert len(list(tmp_path.glob('*/record.json'))) == 6 + 2 * 2 * 56
    facts = re.search(r': ([\d.]+) s, peak (\d+) MiB, page ([\d.]+) MiB', last)
    seconds, peak, page = map(float, facts.groups())
    assert seconds > 0 and peak > 50
    size = (tmp_path / 'report.html').stat().st_size / 2**20
    assert page == pytest.approx(size, abs=0.06)
    with pytest.raises(errors.InputError, match='already holds results'):
        app.call(bench_report, [f'--keep={tmp_path}'])

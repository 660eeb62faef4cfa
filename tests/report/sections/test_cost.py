import numpy as np

from tests.support import made_results as made
from tests.support import show
from tfxfer import architectures
from tfxfer.analysis import cells


def costs(records):
    return [d for d in show.drawings(records) if d.name.startswith('cost')]


def test_seconds_are_of_all_runs_and_parameters_of_the_network(tmp_path):
    (drawing,) = costs(cells.read(made.write_study(tmp_path)))
    assert len(drawing.figure.axes) == 2
    rows = drawing.frame.set_index(['network', 'setting'])
    for arch in made.NETWORKS:
        # A final Run of 1 s; before it four trials of 3 s.
        assert rows.loc[(arch, 'logistic'), 'seconds'] == 1
        assert rows.loc[(arch, 'finetune'), 'seconds'] == 13
        number = architectures.ARCHITECTURES[arch].parameters
        assert (rows.loc[arch]['parameters'] == number).all()
    show.assert_nothing_overlaps([drawing])


def test_every_cell_is_drawn_at_its_cost(tmp_path):
    (drawing,) = costs(cells.read(made.write_study(tmp_path)))
    for panel, column in zip(
        drawing.figure.axes, ('seconds', 'parameters'), strict=True
    ):
        drawn = {(line.get_xdata()[0], line.get_ydata()[0]) for line in panel.lines}
        frame = drawing.frame
        assert drawn == set(zip(frame[column], 100 * frame['score'], strict=True))
        low, high = panel.get_xlim()
        assert all(low < x < high for x, _ in drawn)
        ticks = panel.get_xticks()
        assert len(ticks) and np.all((low <= ticks) & (ticks <= high))


def test_where_no_cost_differs_or_is_known_there_is_no_figure():
    assert not costs([made.final(n, 'scratch', 0.5) for n in 'ab'])  # All took 1 s.
    trial = made.run('a', 'scratch', dataset='pets', trials=['gone'])
    lost = [made.record(trial, 0.5), made.final('b', 'scratch', 0.5)]
    assert not costs(lost)  # What the first took in all is not known.


def test_networks_that_are_not_listed_have_a_time_alone(tmp_path):
    records = [
        made.record(made.run(n, 'scratch', dataset='pets'), 0.5, seconds=s)
        for n, s in (('own', 10.0), ('other', 5000.0))
    ]
    (drawing,) = costs(records)
    (panel,) = drawing.figure.axes
    assert 'Parameters' not in drawing.caption
    labels = [text.get_text() for text in panel.get_xticklabels()]
    assert labels and set(labels) <= {'10 s', '30 s', '1 min', '3 min', '10 min',
                                      '30 min', '1 h'}  # fmt: skip


def test_networks_of_keras_have_parameters_and_those_of_files_have_none():
    files = [made.final(f'model:/a/{n}.keras', 'logistic', 0.8) for n in ('a', 'b')]
    of_keras = [made.final(f'keras:VGG{n}', 'logistic', 0.9) for n in (16, 19)]
    (drawing,) = costs(of_keras + files)
    # VGG without its dense layers: 14.7 and 20.0 million (arXiv 1409.1556, by hand).
    frame = drawing.frame.set_index('network')['parameters']
    assert frame['keras:VGG16'] == 14_714_688 and frame['keras:VGG19'] == 20_024_384
    assert frame[['a.keras', 'b.keras']].isna().all()

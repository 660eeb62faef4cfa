"""What the report's sections show of Records, and what can be asked of that."""

import itertools
import math

from matplotlib.backends import backend_agg

from tests.support import made_results as made
from tfxfer import results
from tfxfer.analysis import cells
from tfxfer.report import section, sections


def drawings(records, published=(), folder=None):
    """Every Drawing, in order."""
    return sections.drawings(section.of(records, published, folder))


def drawn(records, published=(), folder=None):
    """{name: Drawing}."""
    return {d.name: d for d in drawings(records, published, folder)}


def tables(records, published=(), folder=None):
    """({name: Table} of those that have rows, notes)."""
    study = section.of(records, published, folder)
    built = {table.name: table for table in sections.tables(study)}
    return built, sections.notes(study)


def numbers(frame, **values):
    """Rows of a frame that have these values."""
    for name, value in values.items():
        frame = frame[frame[name] == value]
    return frame


def logit(p):
    return math.log(p / (1 - p))


def assert_nothing_overlaps(all_drawings):
    """Neither neighbouring labels of an axis, nor panels and legends."""
    for drawing in all_drawings:
        figure = drawing.figure
        renderer = backend_agg.FigureCanvasAgg(figure).get_renderer()
        panels = [panel for panel in figure.axes if panel.get_visible()]
        for panel in panels:
            for axis in (panel.xaxis, panel.yaxis):
                boxes = [
                    text.get_window_extent(renderer)
                    for text in axis.get_ticklabels()
                    if text.get_visible() and text.get_text()
                ]
                pairs = zip(boxes, boxes[1:], strict=False)
                assert not any(a.overlaps(b) for a, b in pairs), drawing.name
        blocks = [panel.get_tightbbox(renderer) for panel in panels]
        blocks += [legend.get_window_extent(renderer) for legend in figure.legends]
        for one, other in itertools.combinations(blocks, 2):
            assert not one.padded(-1).overlaps(other), drawing.name


def draw_networks(folder, count):
    """The transfer figure of some networks' logistic Runs from ImageNet weights."""
    for i in range(count):
        run = made.run(f'network_number_{i}', 'logistic', weights='slim')
        source = {'dataset': 'imagenet2012', 'score': 0.7 + 0.01 * i, 'images': None}
        right = 80 + i + i % 2
        record = made.record(run, right / 100, source=source)
        results.write(folder, record, made.predictions(right))
    return transfer(folder)


def transfer(folder):
    """The first figure of transfer against source accuracy of a results folder."""
    drawn = drawings(cells.read(folder))
    return next(drawing for drawing in drawn if drawing.subject == 'transfer')

import math

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tfxfer.report import plots


@pytest.mark.parametrize(
    ('low', 'high'), [(0.0, 3.5), (2.5, 2.8), (-7, 7), (4.0, 7.0), (-0.5, 0.5)]
)
def test_percent_ticks_are_round_inside_and_apart(low, high):
    ticks = plots.percent_ticks(low, high, 6)
    places = [math.log(p / (100 - p)) for p in ticks]
    assert 3 <= len(ticks) <= 10
    assert low <= places[0] and places[-1] <= high
    assert min(np.diff(places)) > (high - low) / 12
    assert all(len(f'{tick:g}'.replace('.', '')) <= 4 for tick in ticks)


def test_files_hold_the_figure_and_its_numbers(drawings, tmp_path):
    drawing = drawings['transfer_digits_0_4']
    png, pdf, csv = plots.save([drawing], tmp_path)
    size = 200 * drawing.figure.get_size_inches()
    assert np.abs(Image.open(png).size - size).max() < 1
    assert pdf.read_bytes()[:5] == b'%PDF-'
    read = pd.read_csv(csv)
    pd.testing.assert_frame_equal(read, drawing.frame, check_dtype=False)
    assert [path.name for path in (png, pdf, csv)] == [
        f'transfer_digits_0_4.{suffix}' for suffix in ('png', 'pdf', 'csv')
    ]


def test_saved_figures_let_go_of_their_pixels(whole, tmp_path):
    drawing = whole['transfer_imagenet2012']
    plots.save([drawing], tmp_path)
    assert not hasattr(drawing.figure.canvas, 'renderer')
    assert drawing.figure.dpi == 100


def test_choices_are_rasterised_once_and_their_pdf_is_a_page_of_that(
    drawings, tmp_path
):
    drawing = drawings['grid_finetune_digits_5_9']
    png, pdf, _ = plots.save([drawing], tmp_path)
    size = 120 * drawing.figure.get_size_inches()
    assert np.abs(Image.open(png).size - size).max() < 1
    assert b'/Subtype /Image' in pdf.read_bytes()
    vector = plots.save([drawings['transfer_digits_0_4']], tmp_path)[1]
    assert b'/Font' in vector.read_bytes()

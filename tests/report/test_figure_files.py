import numpy as np
import pandas as pd
from PIL import Image

from tfxfer.report import figure_files


def test_files_hold_the_figure_and_its_numbers(drawings, tmp_path):
    drawing = drawings['transfer_digits_0_4']
    png, pdf, csv = figure_files.save([drawing], tmp_path)
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
    figure_files.save([drawing], tmp_path)
    assert not hasattr(drawing.figure.canvas, 'renderer')
    assert drawing.figure.dpi == 100


def test_choices_are_rasterised_once_and_their_pdf_is_a_page_of_that(
    drawings, tmp_path
):
    drawing = drawings['grid_finetune_digits_5_9']
    png, pdf, _ = figure_files.save([drawing], tmp_path)
    size = 120 * drawing.figure.get_size_inches()
    assert np.abs(Image.open(png).size - size).max() < 1
    assert b'/Subtype /Image' in pdf.read_bytes()
    vector = figure_files.save([drawings['transfer_digits_0_4']], tmp_path)[1]
    assert b'/Font' in vector.read_bytes()

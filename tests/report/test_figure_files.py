import warnings

import matplotlib
import numpy as np
import pandas as pd
from PIL import Image

from tfxfer.report import figure_files, style


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


SIGNS = ('$', '$$', 'a $x_1$ b', r'\frac{1}', '100 %', '十元', '\u1f00')


def test_names_are_no_mathematics_and_missing_signs_are_said_once(tmp_path, caplog):
    with matplotlib.rc_context(style.RC):
        looks = {name: {'marker': 'o'} for name in SIGNS}
        fig, ((panel,),) = style.panels(style.Layout(1, 1, 3, 3), looks)
        panel.set_xticks(range(len(SIGNS)), SIGNS)
        panel.set_title('$\\broken{')
        panel.set_xlabel('$')
    frame = pd.DataFrame({'name': SIGNS})
    drawing = style.Drawing('x', 'transfer', 'x', fig, frame, 'x')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        figure_files.save([drawing, drawing], tmp_path)
        svg = figure_files.svg(drawing)
    assert '<!-- $ -->' in svg and '<!-- a $x_1$ b -->' in svg
    assert [r.getMessage() for r in caplog.records] == [
        'The font of the figures lacks 2 signs, drawn as boxes there: 元 十'
    ]

"""Figures as files: .png, .pdf, .csv and SVG text. The same figure, the same bytes."""

import contextlib
import io
import multiprocessing
import os
import pathlib
import sys
import threading
import warnings
from collections.abc import Sequence

import matplotlib
import numpy as np
from absl import logging
from matplotlib import backend_bases, font_manager
from matplotlib import text as texts
from matplotlib.backends import backend_agg, backend_pdf
from PIL import Image

from tfxfer import storage
from tfxfer.report import formats, style

SIGNS = 20  # Shown of those that the font lacks.
DPI = 200  # Of .png files.
MANY = ('choice', 'detail', 'rankings', 'costs', 'class accuracies')
RASTER = dict.fromkeys(MANY, 120)  # Subjects whose .pdf is the .png, and dpi.


def svg(drawing: style.Drawing) -> str:
    """The figure as SVG text, the same for the same numbers."""
    out = io.StringIO()
    with _settings():
        drawing.figure.savefig(out, format='svg', metadata={'Date': None})
    return out.getvalue()


def save(
    drawings: Sequence[style.Drawing], folder: str | os.PathLike
) -> list[pathlib.Path]:
    """Writes each as <name>.png, .pdf and .csv; returns the paths.

    Of the subjects in RASTER, of which a study has dozens, the .pdf holds the pixels of
    the .png: drawing them again would double the time of a report.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _warn_of_missing_glyphs(drawings)
    # Every n-th, as neighbours take the same time.
    count = min(len(drawings) // 8, len(os.sched_getaffinity(0)))
    shares = [drawings[i::count] for i in range(count)] if _may_fork() else []
    others = [
        multiprocessing.get_context('fork').Process(
            target=_save_quietly, args=(share, folder)
        )
        for share in shares[1:]
    ]
    for process in others:
        process.start()
    _save(shares[0] if shares else drawings, folder)
    for process, share in zip(others, shares[1:], strict=True):
        process.join()
        if process.exitcode:  # What went wrong there is said here.
            _save(share, folder)
    return [
        folder / f'{drawing.name}.{suffix}'
        for drawing in drawings
        for suffix in _WRITERS
    ]


def _warn_of_missing_glyphs(drawings):
    """Says in one line which signs of names the font of the figures lacks."""
    font = font_manager.get_font(font_manager.findfont(str(style.RC['font.family'])))
    known = font.get_charmap()
    shown = {t.get_text() for d in drawings for t in d.figure.findobj(texts.Text)}
    signs = {s for s in set().union(*shown) if not s.isspace() and ord(s) not in known}
    if signs:
        logging.warning(
            'The font of the figures lacks %d signs, drawn as boxes there: %s',
            len(signs), ' '.join(sorted(signs)[:SIGNS]),
        )  # fmt: skip


@contextlib.contextmanager
def _settings():
    """Matplotlib's, while it draws; it would warn of each missing sign in each file."""
    with matplotlib.rc_context(style.RC), warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Glyph .* missing')
        yield


def _may_fork():
    """Whether this process has no threads, whose locks a copy of it could not open."""
    return threading.active_count() == 1 and 'tensorflow' not in sys.modules


def _save_quietly(drawings, folder):
    """As a process: that it went wrong is all it says."""
    try:
        _save(drawings, folder)
    except Exception:
        os._exit(1)


def _save(drawings, folder):
    for drawing in drawings:
        image = _pixels(drawing)
        for suffix, write in _WRITERS.items():
            with storage.replacing(folder / f'{drawing.name}.{suffix}') as temporary:
                write(drawing, image, temporary)


# Figure.savefig draws twice, the first time to lay out what is laid out already; the
# canvases' own functions draw once.


def _pixels(drawing):
    with _canvas(drawing, backend_agg.FigureCanvasAgg) as canvas:
        canvas.draw()
        return Image.fromarray(np.array(canvas.buffer_rgba())).convert('RGB')


def _png(drawing, image, path):
    # Twice as fast as the default level, and hardly larger.
    dpi = _dpi(drawing)
    image.save(path, format='PNG', compress_level=4, dpi=(dpi, dpi))


def _pdf(drawing, image, path):
    if drawing.subject in RASTER:
        image.save(
            path, format='PDF', resolution=_dpi(drawing), quality=95,
            title=drawing.title, creationDate=None, modDate=None,
        )  # fmt: skip
        return
    with _canvas(drawing, backend_pdf.FigureCanvasPdf) as canvas:
        canvas.print_pdf(path, metadata={'CreationDate': None})


def _csv(drawing, image, path):
    del image
    path.write_text(formats.csv_text(drawing.frame), encoding='utf-8', newline='\n')


_WRITERS = {'png': _png, 'pdf': _pdf, 'csv': _csv}


def _dpi(drawing):
    return RASTER.get(drawing.subject, DPI)


@contextlib.contextmanager
def _canvas(drawing, kind):
    """A canvas of the figure, which lets go of its megabytes of pixels afterwards."""
    fig = drawing.figure
    old, fig.dpi = fig.dpi, _dpi(drawing)
    try:
        with _settings():
            yield kind(fig)
    finally:
        fig.dpi = old
        backend_bases.FigureCanvasBase(fig)

"""The notebook of the documentation is executed as it is."""

import nbclient
import nbformat
import pytest

from tests.support import pages

NOTEBOOK = pages.ROOT / 'docs/tutorial.ipynb'


def outputs(cell):
    """{MIME type: content} of what a cell shows, and what it prints as 'stdout'."""
    shown = {}
    for output in cell.outputs:
        if output.output_type == 'stream':
            shown[output.name] = shown.get(output.name, '') + output.text
        else:
            shown.update(output.get('data', {}))
    return shown


def test_the_notebook_is_stored_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == 'code']
    assert not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(pages.ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=1200, resources={'metadata': {'path': str(tmp_path)}}
    )
    client.execute()
    cells = {
        cell.source.partition('\n')[0]: outputs(cell)
        for cell in notebook.cells
        if cell.cell_type == 'code'
    }
    compared = cells['import tfxfer']
    assert '896 images of 5 classes' in compared['stdout']
    assert 'Runs: 100%' in compared['stderr'], 'no progress bar'
    assert 'mobilenet_v2_0.35' in cells['r']['text/html']
    assert cells['r.figure()']['image/png']
    assert (tmp_path / 'runs/images/report.html').exists()
    assert "'digit_7'" in cells['import tensorflow as tf']['text/plain']

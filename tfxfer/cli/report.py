"""Tables, figures and one self-contained report.html of a results folder.

    python -m tfxfer.report --results=runs/quickstart
    python -m tfxfer.report --results=runs/mine --published=theirs.csv
    python -m tfxfer.report --published=theirs.csv --output=theirs/report.html

writes into the folder report.html, results.csv, .md and .tex, and the other tables and
all figures into tables/ and figures/. It needs no GPU, no TensorFlow and no images; the
same records give the same bytes. Published results (columns dataset, network, setting,
score) are laid beside one's own, or drawn alone.
"""

from absl import flags

from tfxfer.cli import app


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.string(
        'results', 'runs', 'Folder of finished Runs: the --workdir that made them.'
    )
    define.string(
        'output', None, 'The .html to write. Default: report.html in --results.'
    )
    define.strings(
        'published', [], 'CSV files of published results: dataset,network,setting,score'
    )
    define.boolean(
        'thumbnails',
        True,
        'Show thumbnails of the most confident mistakes of the best network, and keep '
        'them in thumbnails/ beside the page.',
    )
    return define.given


def main(given: app.Given) -> None:
    from tfxfer.report import build  # Matplotlib.

    print(
        build.write(
            given.results, given.output, given.published, thumbnails=given.thumbnails
        )
    )

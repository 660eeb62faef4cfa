"""Lists the networks: what they take, give and cost, and which weights are here.

    python -m tools.list_architectures --checkpoints=FOLDER

Parameters and multiply-adds (of one image) are without classifiers. Weights in brackets
are known, but not here: `slim` is looked for in --checkpoints, `keras` in Keras' cache,
`hub` in kagglehub's. Licences of weights are those that their publishers state. The
second table has the presets of keras-hub, by its own numbers.
"""

from collections.abc import Iterator

from absl import flags

from tfxfer import architectures, errors, hub_presets
from tfxfer.cli import app

HEADER = (
    'name',
    'input',
    'features',
    'parameters',
    'multiply-adds',
    'ImageNet top-1',
    'licence of weights',
    'weights',
)
HUB_HEADER = ('preset of keras-hub', 'family', 'input', 'parameters', 'weights')


def rows(checkpoints: str | None = None) -> Iterator[tuple[str, ...]]:
    """One tuple of texts per network, as in HEADER.

    Args:
        checkpoints: folder of TF-Slim checkpoints; None: as weight_files.find.
    """
    from tfxfer import models  # TensorFlow: not for --help.
    from tfxfer.models import weight_files

    def here(arch: architectures.Architecture, source: str) -> bool:
        if source == 'keras':
            return models.keras_file(arch).exists()
        try:
            return bool(weight_files.find(arch, source, checkpoints))
        except errors.InputError:
            return False

    known = {**architectures.ARCHITECTURES, **architectures.APPLICATIONS}
    for arch in known.values():
        top1 = arch.imagenet_top1
        yield (
            arch.name,
            str(arch.input_size),
            str(arch.features),
            f'{arch.parameters / 1e6:.1f} M',
            f'{arch.multiply_adds / 1e6:,.0f} M' if arch.multiply_adds else '-',
            f'{100 * top1:.1f} % ({arch.top1_source})' if top1 else '-',
            _licences(arch),
            ', '.join(
                source if here(arch, source) else f'[{source}]'
                for source in arch.weights
            )
            or '-',
        )


def _licences(arch: architectures.Architecture) -> str:
    """Of each source of weights where they differ."""
    licences = {source: arch.licence_of(source) for source in arch.weights}
    if len(set(licences.values())) < 2:
        return next(iter(licences.values()), '-')
    return ', '.join(f'{source} {licences[source]}' for source in licences)


def hub_rows() -> Iterator[tuple[str, ...]]:
    """One tuple of texts per preset of keras-hub, as in HUB_HEADER."""
    from tfxfer.models import hub_preset

    for name, preset in hub_presets.PRESETS.items():
        yield (
            f'hub:{name}',
            preset.backbone.removesuffix('Backbone'),
            str(preset.size or '-'),
            f'{preset.parameters / 1e6:.1f} M',
            '[hub]' if hub_preset.missing(name) else 'hub',
        )


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.checkpoints()
    return define.given


def main(given: app.Given) -> None:
    _show([HEADER, *rows(given.checkpoints)])
    print()
    _show([HUB_HEADER, *hub_rows()])


def _show(table: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print('  '.join(cells).rstrip())

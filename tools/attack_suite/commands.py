"""Command lines at a place, and what they must have given where they succeed."""

import dataclasses
import typing
from collections.abc import Callable

from tools.attack_suite.place import (
    SWEEP,
    Place,
    on_images,
    race,
    recorded_scores,
    table_scores,
)


class Outcome(typing.NamedTuple):
    """How a command ended; status: as Popen.returncode, None where it hung."""

    status: int | None
    stdout: bytes
    stderr: bytes
    alone: bool = True  # No process that it started was left.


# (place, the one that nothing was done to, outcome) -> a complaint, or ''.
Judge = Callable[[Place, Place, Outcome], str]


def no_more(place: Place, clean: Place, outcome: Outcome) -> str:
    """What was asked for is not a number."""
    return ''


def same_table(place: Place, clean: Place, outcome: Outcome) -> str:
    """Scores of the report are those of the clean place; what lacks is said."""
    found = table_scores(place.out / 'results.csv')
    right = table_scores(clean.root / 'report/results.csv')
    wrong = {key: value for key, value in found.items() if right.get(key) != value}
    if wrong:
        return f'wrong number: {wrong}'
    if {*right} - {*found} and not _said(place, clean, outcome):
        return f'left out silently: { ({*right} - {*found}) }'
    return ''


def _said(place: Place, clean: Place, outcome: Outcome) -> bool:
    """Whether page or errors name the Runs whose records cannot be read."""
    said = outcome.stderr.decode(errors='replace')
    said += (place.out / 'report.html').read_text(errors='replace')
    lost = {*recorded_scores(clean.work)} - {*recorded_scores(place.work)}
    return all(name in said for name in lost)


def same_score(place: Place, clean: Place, outcome: Outcome) -> str:
    """All records that both places have, have the same score; so has the output."""
    found, right = recorded_scores(place.work), recorded_scores(clean.work)
    wrong = {name: s for name, s in found.items() if s != right.get(name, s)}
    if wrong:
        return f'wrong number: {wrong}'
    name = outcome.stdout.decode(errors='replace').strip().rpartition('/')[2]
    return '' if name in found else f'no record of {name!r}'


def same_predictions(place: Place, clean: Place, outcome: Outcome) -> str:
    """Of the images that the clean place has too, the predictions are the same."""
    right = predicted(clean, (clean.root / 'report/predicted.txt').read_bytes())
    found = predicted(place, outcome.stdout)
    wrong = {name for name in found if name in right and found[name] != right[name]}
    return f'wrong predictions: {sorted(wrong)}' if wrong else ''


def same_race(place: Place, clean: Place, outcome: Outcome) -> str:
    """The Runs of the race have the scores that they have in the clean one."""
    found, right = recorded_scores(place.race), recorded_scores(clean.race)
    wrong = {name: s for name, s in found.items() if s != right.get(name, s)}
    if wrong:
        return f'wrong number: {wrong}'
    return '' if b'report.html' in outcome.stdout else 'no answer'


def same_scores(place: Place, clean: Place, outcome: Outcome) -> str:
    """The table is that of the clean place; it has no times."""
    name = 'scores.csv'
    found, right = ((one.race / name).read_text() for one in (place, clean))
    return '' if found == right else f'wrong numbers: {found}'


def predicted(place: Place, stdout: bytes) -> dict[str, str]:
    """{image: its line} of what tfxfer.predict_images printed."""
    lines = stdout.decode(errors='replace').replace(str(place.root), '').splitlines()
    return {line.split()[0]: line for line in lines if line.strip()}


@dataclasses.dataclass(frozen=True)
class Command:
    """A program's command line at a place, and what its success must have given."""

    module: str
    arguments: Callable[[Place], list[str]]
    judge: Judge = no_more


REPORT = Command(
    'tfxfer.report',
    lambda place: [f'--results={place.work}', f'--output={place.out}/report.html'],
    same_table,
)
STATUS = Command('tools.sweep', lambda place: [f'--workdir={place.work}', '--status'])
FEATURES = Command(
    'tools.features', lambda place: [f'--workdir={place.work}', '--list']
)
ON_IMAGES = Command('tfxfer.run', on_images, same_score)
STUDY = Command(
    'tools.sweep', lambda place: [*SWEEP, f'--workdir={place.work}'], no_more
)
EXPORT = Command(
    'tfxfer.export',
    lambda place: [
        f'--run={place.work / place.of("finetune")}',
        f'--output={place.out}/model',
    ],
)
PREDICT = Command(
    'tfxfer.predict_images',
    lambda place: [
        f'--model={place.root}/model',
        str(place.images / 'red'),
    ],
    same_predictions,
)
RACE = Command('tfxfer', race, same_race)
RACE_REPORT = Command(
    'tfxfer.report',
    lambda place: [f'--results={place.race}', f'--output={place.out}/report.html'],
)
SCORES = Command(
    'tfxfer', lambda place: ['scores', f'--workdir={place.race}'], same_scores
)

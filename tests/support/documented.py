"""How each command that the documentation prints is run by a test or in CI.

Small forms keep the program and its flags and append others, of which the last counts.
"""

import typing

from tests.support import tiny


class By(typing.NamedTuple):
    """Another test, FILE::NAME, runs the program."""

    test: str


class Script(typing.NamedTuple):
    """A script that continuous integration calls runs it."""

    path: str


class Called(typing.NamedTuple):
    """Run in the process of the test within seconds; `says` is in what it prints."""

    more: str = ''
    says: str = ''


class Chained(typing.NamedTuple):
    """Run after those above it of the same chain; slow."""

    chain: str
    more: str = ''


ONE_NETWORK = f'--config.archs={tiny.ARCH} --config.image_size=32'
# Weights from two steps on digits, as configs/quickstart.py makes them in 150.
PRETRAINED = (
    f'{ONE_NETWORK} --config.seeds=0 '
    '--config.weights=pretrain --config.source=digits_0_4 '
    '--config.pretrain.warmup=0.0 --config.pretrain.ema=0.0 '
    '--config.pretrain.steps=2 --config.pretrain.batch=8'
)
GRID = (
    '--config.finetune.lrs=0.01 --config.finetune.wds=0.0 '
    '--config.finetune.steps=2 --config.finetune.batch=8'
)
ONE_RUN = (
    f'--config.arch={tiny.ARCH} --config.image_size=32 '
    '--config.dataset=digits_5_9 --threads=1'
)
TWO_STEPS = '--config.hparams.steps=2 --config.hparams.batch=8'
FROM_A_RUN = '--config.weights=runs/mine/PRETRAIN_ID'
PLAN = '--plan --images_per_second=100'

_SWEEP = 'python -m tools.sweep --config=configs'
_RUN = 'python -m tfxfer.run --config=configs'
_IMAGES = '--config.dataset=folder:/my/images'

_SETTING_UP = {
    'bash tools/quickstart.sh': By(
        'tests/test_scripts.py::test_quickstart_passes_flags_and_exit_status_on'
    ),
    'bash tools/test.sh': By(
        'tests/test_scripts.py::test_a_second_start_installs_nothing'
    ),
    **dict.fromkeys(
        ('bash tools/test.sh --slow', 'bash tools/test.sh --all'),
        By('tests/test_scripts.py::test_slow_tests_run_when_asked_for_and_in_ci'),
    ),
    'ruff check .': Script('tools/test.sh'),
    'ruff format --check .': Script('tools/test.sh'),
    'mypy': Script('tools/test.sh'),
    'python -m pytest tests/data': Script('tools/test.sh'),
    'python -m pytest -m slow tests/gpu': Script('tools/test.sh'),
    f'{_SWEEP}/quickstart.py --workdir=runs/shared_gpu --jobs_per_gpu=3': By(
        'tests/cli/test_sweep.py::'
        'test_runs_on_ray_have_parts_of_gpus_and_of_their_memory'
    ),
}
_OWN_IMAGES = {
    'tfxfer compare /my/images --workdir=runs/mine': (
        Chained('images', f'{PRETRAINED} --threads=1')
    ),
    'tfxfer compare /my/images --networks=resnet_50,inception_v3 '
    '--settings=logistic,finetune --seeds=0,1,2 --workdir=runs/mine': (
        Called(PLAN, 'finetune trial')
    ),
    'tfxfer compare /my/images --minutes=60 --workdir=runs/mine': By(
        'tests/study/test_anywhere.py::test_a_race_killed_four_times_ends_as_one_that_was_not'
    ),
    'tfxfer compare /my/list.csv --workdir=runs/mine': (
        Chained('images', f'{PRETRAINED} --threads=1')
    ),
    f'{_SWEEP}/images.py --config.datasets=folder:/my/images,csv:/my/list.csv '
    '--workdir=runs/mine': Chained('images', f'{PRETRAINED} --threads=1'),
    'python -m tfxfer.export --run=runs/mine/RUN_ID --output=my_model': (
        Chained('images')
    ),
    'python -m tfxfer.export --run=runs/mine/RUN_ID --output=my_phone_model --tflite': (
        Chained('images')
    ),
    'python -m tfxfer.predict_images --model=my_model photo.jpg scans/': (
        Chained('images')
    ),
    'python -m tfxfer.predict_images --model=my_model --json photo.jpg scans/': (
        Chained('images')
    ),
    'python -m tools.features --workdir=runs/mine --list': Chained('images'),
    'python -m tools.features --workdir=runs/mine --key=KEY --export=features.npz': (
        Chained('images')
    ),
    'python -m tools.features --workdir=runs/mine --remove=KEY': Chained('images'),
}
_SINGLE_RUNS = {
    f'{_RUN}/logistic.py --config.dataset=pets --data=MY_DATA': (
        Chained('images', f'{ONE_RUN} {FROM_A_RUN}')
    ),
    f'{_RUN}/logistic.py --config.dataset=cifar10 --config.weights=slim '
    '--checkpoints=MY_CHECKPOINTS --data=MY_DATA': (
        Chained('images', f'{ONE_RUN} {FROM_A_RUN}')
    ),
    f'{_RUN}/finetune.py {_IMAGES}': (
        Chained('images', f'{ONE_RUN} {FROM_A_RUN} {TWO_STEPS}')
    ),
    f'{_RUN}/pretrain.py {_IMAGES} --workdir=runs/pretrain': (
        Chained('images', f'{ONE_RUN} {TWO_STEPS}')
    ),
    f'{_RUN}/pretrain.py {_IMAGES} --workdir=runs/pretrain --transfer=pets,dtd@20 '
    '--transfer_every=5000 --data=MY_DATA': Chained(
        'images',
        f'{ONE_RUN} {TWO_STEPS} --config.seed=1 --transfer=digits_5_9@10 '
        '--transfer_every=1',
    ),
    'TF_CONFIG=\'{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}\' '
    f'{_RUN}/finetune.py {_IMAGES} --workdir=/shared/runs': By(
        'tests/training/test_distribution.py::'
        'test_a_dead_worker_ends_the_others_and_the_same_command_goes_on'
    ),
    'tensorboard --logdir runs/quickstart': By(
        'tests/study/test_anywhere.py::'
        'test_one_tensorboard_shows_all_runs_of_the_folder'
    ),
}
_NETWORKS = {
    f'{_SWEEP}/images.py --config.archs=mobilenet_v2,keras:ConvNeXtTiny '
    '--config.datasets=folder:/my/images': Called(PLAN, 'logistic'),
    f'{_RUN}/logistic.py --config.arch=hub:vit_base_patch16_224_imagenet '
    f'--config.weights=hub {_IMAGES}': By(
        'tests/transfer/test_hub_presets.py::'
        'test_a_preset_from_the_command_line_to_the_table'
    ),
    f'{_RUN}/logistic.py --config.arch=model:/path/my.keras --config.weights=model '
    f'{_IMAGES}': By(
        'tests/transfer/test_model_files.py::'
        'test_a_users_model_from_the_command_line_to_the_table'
    ),
    'python -m tools.list_architectures --checkpoints=MY_CHECKPOINTS': By(
        'tests/cli/test_list_architectures.py::'
        'test_the_list_has_a_row_for_every_network'
    ),
    f'{_SWEEP}/imagenet.py --checkpoints=MY_CHECKPOINTS --workdir=runs/imagenet': By(
        'tests/cli/test_sweep.py::test_study_from_the_real_imagenet_checkpoint'
    ),
    'python -m tools.evaluate --arch=mobilenet_v1 --weights=slim '
    '--checkpoints=MY_CHECKPOINTS --data=MY_DATA': By(
        'tests/cli/test_evaluate.py::test_accuracies_are_printed_and_written'
    ),
    'python -m tools.evaluate --weights=runs/study/RUN_ID': By(
        'tests/cli/test_evaluate.py::test_accuracies_are_printed_and_written'
    ),
    'python -m tools.convert_checkpoint --arch=resnet_50 '
    '--checkpoint=resnet_v1_50_2016_08_28.tar.gz --output=resnet_50.weights.h5': By(
        'tests/cli/test_convert_checkpoint.py::test_the_summary_is_printed'
    ),
    **dict.fromkeys(
        (
            'tfxfer scores --workdir=runs/mine',
            'tfxfer scores --workdir=runs/mine --source_head --probability=0.9',
        ),
        By('tests/cli/test_scores.py::test_a_table_and_a_shortlist_of_cached_features'),
    ),
    'python -m tools.diagnose --workdir=runs/mine --dataset=digits_5_9': By(
        'tests/cli/test_diagnose.py::test_table_cka_and_figures_are_written'
    ),
}
_DATASETS = {
    'python -m tools.prepare_dataset --dataset=pets,dtd,flowers --data=MY_DATA': By(
        'tests/cli/test_prepare_dataset.py::'
        'test_what_several_datasets_lack_is_named_together'
    ),
    'python -m tools.prepare_dataset --dataset=cars --archives=MY_ARCHIVES '
    '--data=MY_DATA': By(
        'tests/cli/test_prepare_dataset.py::'
        'test_every_missing_file_is_named_with_its_address'
    ),
    'python -m tools.prepare_dataset --dataset=voc2007 --data=MY_DATA --check': By(
        'tests/cli/test_prepare_dataset.py::test_check_lists_a_truncated_jpeg'
    ),
    'python -m tools.cifar_archive --dataset=cifar10 --images=/my/pngs '
    '--archives=MY_ARCHIVES': By(
        'tests/tools/test_cifar_archive.py::'
        'test_tensorflow_datasets_reads_pixels_and_labels_of_the_pngs'
    ),
    'python -m tools.prepare_dataset --dataset=cifar10 --archives=MY_ARCHIVES '
    '--data=MY_DATA --unverified': By(
        'tests/tools/test_cifar_archive.py::'
        'test_tensorflow_datasets_reads_pixels_and_labels_of_the_pngs'
    ),
    'python -m tools.registry_images --data=MY_DATA': By(
        'tests/data/test_registry_images.py::test_packages_become_datasets'
    ),
}
_STUDIES = {
    f'{_SWEEP}/study.py --plan': Called(PLAN, '22848'),
    f'{_SWEEP}/study.py --plan --config.archs=resnet_50,inception_v4 '
    '--images_per_second=resnet_50:1200,inception_v4:400': Called(says='device-hours'),
    f'{_SWEEP}/study.py --data=MY_DATA --workdir=runs/study': Chained(
        'study',
        f'{PRETRAINED} --threads=1 --config.datasets=digits_5_9 '
        '--config.settings=logistic',
    ),
    f'{_SWEEP}/study.py --config.archs=resnet_50,inception_v4 '
    '--config.datasets=pets,flowers --config.settings=logistic,finetune --data=MY_DATA '
    '--workdir=runs/part': Called(PLAN, 'finetune trial'),
    'python -m tools.sweep --status --workdir=runs/study': Chained('study'),
    'python -m tools.bench_search --checkpoints=MY_CHECKPOINTS --workdir=runs/search': (
        Chained(
            'search',
            f'--config=configs/quickstart.py {PRETRAINED} {GRID} --searches=grid '
            '--config.settings=finetune',
        )
    ),
}
_REPORTS = {
    'python -m tfxfer.report --results=runs/study': Called(says='runs/study'),
    'python -m tfxfer.report --results=runs/study --published=their_results.csv': (
        Called(says='runs/study')
    ),
    'python -m tfxfer.report --published=their_results.csv '
    '--output=theirs/report.html': Called(says='theirs'),
    'python -m tools.export_tables --results=runs/study --output=tables '
    '--formats=csv,md,tex,parquet,html': Called(says='results.parquet'),
}
_EXPERIMENTS = {
    f'{_SWEEP}/real_networks.py --workdir=runs/real': Called(
        f'{PLAN} {ONE_NETWORK} --config.datasets=digits,digits_5_9 '
        '--config.weights=pretrain --config.source=digits_0_4',
        'logistic final',
    ),
    f'{_SWEEP}/real_networks.py:trained --workdir=runs/real': Called(
        f'{PLAN} {ONE_NETWORK} --config.datasets=digits '
        '--config.weights=pretrain --config.source=digits_0_4',
        'scratch final',
    ),
    f'{_SWEEP}/real_networks.py:finetuned --workdir=runs/finetuned': Called(
        f'{PLAN} {ONE_NETWORK} --config.datasets=digits '
        '--config.weights=pretrain --config.source=digits_0_4',
        'finetune final',
    ),
    **{
        f'{_SWEEP}/race.py:{part} --workdir=runs/real': Called(
            f'{PLAN} {ONE_NETWORK} --config.datasets=digits,digits_5_9 '
            '--config.weights=pretrain --config.source=digits_0_4',
            'logistic final',
        )
        for part in ('random', 'digits', 'cifar100')
    },
    'python -m tools.bench_race --results=runs/real --races=50': By(
        'tests/tools/test_bench_race.py::'
        'test_the_program_replays_races_and_goes_on_where_it_was'
    ),
    'python -m tools.bench_race --results=runs/real --races=50 --forwards': By(
        'tests/tools/test_bench_race.py::test_forwards_alone_are_another_budget'
    ),
    'python -m tools.dataset_size --data=MY_DATA --workdir=runs/dataset_size': By(
        'tests/cli/test_dataset_size.py::test_the_experiment_ends_with_its_tables'
    ),
    f'{_SWEEP}/convergence.py --data=MY_DATA --workdir=runs/convergence': (
        Called(PLAN, 'scratch trial')
    ),
    f'{_SWEEP}/training_settings.py --data=MY_DATA --workdir=runs/training_settings': (
        Called(PLAN, 'pretrain final')
    ),
    f'{_SWEEP}/training_settings_small.py --data=MY_DATA '
    '--workdir=runs/training_settings': Called(PLAN, '240'),
    f'{_SWEEP}/training_settings_small.py --data=MY_DATA --workdir=runs/four_ways '
    '--config.pretrain_also.dropout=0.0 --config.pretrain_also.aux=0.0': (
        Called(PLAN, '60')
    ),
    f'{_SWEEP}/training_settings_small.py --data=MY_DATA --workdir=runs/four_ways '
    '--config.pretrain_also.dropout=0.0 --config.pretrain_also.aux=0.0 '
    '--config.settings=finetune --config.datasets=fashion_target': Called(PLAN, '28'),
}
_BENCHMARKS = {
    **dict.fromkeys(
        (
            'python -m tools.bench_input',
            'python -m tools.bench_input --out=docs/benchmarks/my_machine',
        ),
        By(
            'tests/tools/test_bench_input.py::'
            'test_rows_are_written_as_soon_as_they_are_known'
        ),
    ),
    'python -m tools.bench_table docs/benchmarks': By(
        'tests/tools/test_bench_table.py::test_the_table_goes_into_a_page'
    ),
    'python -m tools.bench_features --archs=mobilenet_v1,resnet_50,inception_v3,'
    'densenet_121,nasnet_mobile': Chained(
        'features',
        '--archs=mobilenet_v1_0.25 --rounds=1 --batch=4 --precisions=float32',
    ),
    'python -m tools.bench_features': By(
        'tests/tools/test_bench_features.py::'
        'test_what_is_timed_on_a_gpu_gives_the_networks_features'
    ),
    'python -m tools.bench_extract --archs=mobilenet_v1,resnet_50': Chained(
        'features', '--archs=mobilenet_v1_0.25 --rounds=1 --images=128'
    ),
    **dict.fromkeys(
        (
            'python -m tools.bench_train',
            'python -m tools.bench_train --archs=resnet_50:224 --batch=256 '
            '--feeds=ready --jit_compile',
        ),
        By(
            'tests/tools/test_bench_train.py::test_ours_and_keras_are_timed_from_all_feeds'
        ),
    ),
    **dict.fromkeys(
        (
            'python -m tools.bench_logreg',
            'python -m tools.bench_logreg --shapes=12000x1024x10 --every=8 '
            '--limit=3600',
        ),
        By(
            'tests/tools/test_bench_logreg.py::'
            'test_both_sides_are_timed_and_are_within_the_tolerance'
        ),
    ),
    'python -m tools.attacks': By(
        'tests/tools/test_attacks.py::test_the_quick_attacks_survive'
    ),
    'python -m tools.simulate_statistics --studies=1000': By(
        'tests/tools/test_simulate_statistics.py'
        '::test_the_program_prints_a_row_for_each_number_of_classifiers'
    ),
    'python -m tools.bench_ranking --table=eleven_networks_finetuned_and_head.csv '
    '--left_out=resnet101,resnet152,densenet201 --doubted=sun397': By(
        'tests/tools/test_bench_ranking.py::'
        'test_the_program_prints_scores_and_what_shortlists_said'
    ),
    'python -m tools.bench_ranking --results=runs/finetuned': By(
        'tests/tools/test_bench_ranking.py::'
        'test_the_program_prints_what_fine_tuning_came_to'
    ),
    'python -m tools.bench_ranking --times=3000x2048x37': By(
        'tests/tools/test_bench_ranking.py::test_the_program_times_every_score'
    ),
    'python -m tools.bench_verdicts --workdir=runs/verdicts': By(
        'tests/tools/test_bench_verdicts.py::'
        'test_two_repetitions_with_other_seeds_and_threads'
    ),
    'python -m tools.bench_report': By(
        'tests/tools/test_bench_report.py::test_the_bench_times_a_made_study'
    ),
}
COVERED = {
    **_SETTING_UP, **_OWN_IMAGES, **_SINGLE_RUNS, **_NETWORKS, **_DATASETS, **_STUDIES,
    **_REPORTS, **_EXPERIMENTS, **_BENCHMARKS,
}  # fmt: skip
# Of other projects, and not for a test: they change the user's packages or git hooks.
LEFT_OUT = (
    'pip install pre-commit', 'pre-commit install', 'pip install tfxfer[hub]',
)  # fmt: skip


def covered(kind: type) -> dict[str, typing.Any]:
    """The commands that are run in one of the ways above."""
    return {text: how for text, how in COVERED.items() if isinstance(how, kind)}

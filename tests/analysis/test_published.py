import math

import pytest

from tfxfer import errors
from tfxfer.analysis import points, published


def read(tmp_path, text, name='mine.csv'):
    path = tmp_path / name
    path.write_text(text)
    return published.read(path)


def test_long_form_with_source_scores(tmp_path):
    found = read(
        tmp_path,
        'dataset,network,setting,score,source_score,note\n'
        'CIFAR-10,A,linear,93.6,76.3,x\n'
        'Pets,A,finetune,92.1,,\n',
    )
    assert found == (
        published.Published('cifar10', 'A', 'logistic', 0.936, 0.763, 'mine'),
        published.Published('pets', 'A', 'finetune', 0.921, None, 'mine'),
    )
    assert found[0].log_odds == pytest.approx(math.log(0.936 / 0.064))


def test_shares_of_one_are_taken_as_they_are(tmp_path):
    found = read(tmp_path, 'name,dataset,setting,score\nA,dtd,scratch,0.65\n')
    assert found[0].score == 0.65


def test_units_are_told_by_each_column_and_said(tmp_path):
    found = read(
        tmp_path,
        'dataset,network,setting,score,imagenet_top1\n'
        'pets,A,finetune,0.921,76.1\npets,B,finetune,0.892,71.9\n',
    )
    assert [(p.score, p.source_score) for p in found] == [
        (0.921, 0.761), (0.892, 0.719),
    ]  # fmt: skip
    percent, shares = found[0].notes
    assert 'imagenet_top1' in percent and 'percent' in percent
    assert 'score' in shares and 'shares of 1' in shares


def test_a_column_of_both_units_is_refused_unless_the_sign_tells(tmp_path):
    text = 'name,dataset,setting,score\nA,dtd,scratch,{}\nA,pets,scratch,50\n'
    with pytest.raises(errors.InputError, match="'score' has 0.65 in line 2 and 50"):
        read(tmp_path, text.format('0.65'))
    assert [p.score for p in read(tmp_path, text.format('0.65%'))] == [0.0065, 0.5]


def test_columns_that_are_not_read_are_named(tmp_path):
    text = 'setting,model,Food,iNaturalist,Pets\nlinear,A,70,60,80\n'
    found = read(tmp_path, text)
    assert [p.dataset for p in found] == ['food101', 'pets']
    assert any('iNaturalist' in note and 'not read' in note for note in found[0].notes)


def test_networks_of_the_registry_have_its_source_accuracy_and_that_is_said(tmp_path):
    text = HEAD + ''.join(
        f'pets,{name},finetune,90\n'
        for name in ('ResNet-50', 'Inception v3', 'MobileNet_v2', 'my own')
    )
    found = {p.network: p for p in read(tmp_path, text)}
    # TF-Slim's table of its checkpoints, top-1.
    assert [p.source_score for p in found.values()] == [0.752, 0.78, 0.719, None]
    public, unknown = found['ResNet-50'].notes
    assert 'ResNet-50' in public and 'public checkpoint' in public
    assert 'my own' in unknown and 'source_score' in unknown
    drawn = points.conditions(found.values())
    assert [len(group) for group in drawn.values()] == [3]


def test_a_source_accuracy_that_is_given_is_not_replaced(tmp_path):
    text = 'dataset,network,setting,score,source_score\npets,ResNet-50,linear,90,76.1\n'
    (found,) = read(tmp_path, text)
    assert found.source_score == 0.761 and found.notes == ()


@pytest.mark.parametrize(
    ('text', 'key'),
    [
        ('Food-101', 'food101'), ('Food', 'food101'), ('CIFAR 100', 'cifar100'),
        ('SUN397', 'sun397'), ('Stanford Cars', 'cars'), ('FGVC Aircraft', 'aircraft'),
        ('Pascal VOC 2007', 'voc2007'), ('DTD', 'dtd'), ('Oxford-IIIT Pets', 'pets'),
        ('Caltech-101', 'caltech101'), ('Oxford 102 Flowers', 'flowers'),
        ('Flowers-102', 'flowers'), ('birdsnap', 'birdsnap'), ('cifar10', 'cifar10'),
    ],
)  # fmt: skip
def test_datasets_go_by_their_usual_names(tmp_path, text, key):
    found = read(tmp_path, f'dataset,model,setting,acc\n{text},A,linear,50\n')
    assert [p.dataset for p in found] == [key]


def test_a_wide_file_has_a_column_a_dataset_and_gaps(tmp_path):
    found = read(
        tmp_path,
        'setting,model,imagenet_top1,Food,Caltech-101,remark\n'
        'linear,A,69.3,68.4,,x\n'
        'scratch,Random,,86.9,72.6,y\n',
    )
    assert [(p.dataset, p.network, p.score, p.source_score) for p in found] == [
        ('food101', 'A', 0.684, 0.693),
        ('food101', 'Random', 0.869, None),
        ('caltech101', 'Random', 0.726, None),
    ]


def test_the_setting_may_stand_in_the_files_name(tmp_path):
    text = 'dataset,network,score\npets,A,90\n'
    (found,) = read(tmp_path, text, name='best_finetuned_2019.csv')
    assert (found.setting, found.label) == ('finetune', 'best_finetuned_2019')
    with pytest.raises(errors.InputError, match='no column named setting'):
        read(tmp_path, text, name='best.csv')


def test_simclrs_table_is_read(shared):
    found = published.read(shared / 'published' / 'simclr_resnet50_transfer.csv')
    assert len(found) == 5 * 12
    by_key = {(p.setting, p.network, p.dataset): p for p in found}
    assert by_key['logistic', 'Supervised', 'pets'].score == 0.915
    assert by_key['finetune', 'SimCLR', 'flowers'].score == 0.97
    assert by_key['scratch', 'Random init', 'voc2007'].score == 0.673
    assert by_key['scratch', 'Random init', 'voc2007'].source_score is None
    assert by_key['logistic', 'SimCLR', 'dtd'].source_score == 0.693


def test_the_studys_best_are_read(shared):
    name = 'kornblith_best_finetuned_via_efficientnet_table5.csv'
    found = published.read(shared / 'published' / name)
    assert {p.dataset: (p.network, p.score) for p in found} == {
        'cifar10': ('NASNet-A Large', 0.98),
        'cifar100': ('NASNet-A Large', 0.875),
        'birdsnap': ('Inception v4', 0.818),
        'cars': ('Inception v4', 0.934),
        'flowers': ('Inception v4', 0.985),
        'aircraft': ('Inception v4', 0.909),
        'pets': ('ResNet-152', 0.945),
        'food101': ('Inception v4', 0.908),
    }
    assert {p.setting for p in found} == {'finetune'}


HEAD = 'dataset,network,setting,score\n'


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('', 'has no line of results'),
        (HEAD, 'has no line of results'),
        ('model,Pets,Oxford pets,setting\nA,90,91,linear\n', 'both of pets'),
        ('model,Pets,Pets,setting\nA,90,91,linear\n', "two columns are named 'Pets'"),
        ('a,b\n1,2\n', 'line 1: no column for dataset and network and score'),
        (HEAD + 'pets,A,finetune,90\npet5,A,finetune,90\n', "line 3: .*'pets'"),
        (HEAD + 'pets,A,probe,90\n', "line 2: no setting named 'probe'. Known: logis"),
        (HEAD + 'pets,A,finetune,ninety\n', "line 2: 'ninety' is no score"),
        (HEAD + 'pets,A,finetune,nan\n', "line 2: 'nan' is no score"),
        (HEAD + 'pets,A,finetune,101\n', "line 2: '101' is no score"),
        (HEAD + 'pets,A,finetune,100\n', 'line 2: 100 is not between 0 and 100'),
        (HEAD + 'pets,A,finetune,\n', 'line 2: no score'),
        (HEAD + 'pets,,finetune,90\n', 'line 2: the network has no name'),
        (HEAD + 'pets,A,finetune,90,5\n', 'line 2: more fields than the 4 columns'),
        (HEAD + 'pets,A,linear,90\nPets,A,logistic,91\n', 'line 3: .*line 2 already'),
    ],
)
def test_what_cannot_be_right_is_refused_by_file_and_line(tmp_path, text, said):
    with pytest.raises(errors.InputError, match=said) as error:
        read(tmp_path, text)
    assert 'mine.csv' in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(errors.InputError, match=r'Cannot read .*gone\.csv'):
        published.read(tmp_path / 'gone.csv')


def test_the_best_is_of_each_dataset_and_setting(tmp_path):
    text = HEAD + 'pets,A,linear,90\npets,B,linear,95\npets,A,finetune,80\n'
    found = published.best(read(tmp_path, text))
    assert {key: p.network for key, p in found.items()} == {
        ('pets', 'logistic'): 'B',
        ('pets', 'finetune'): 'A',
    }

"""What a user's own Keras file says of itself, and what is refused."""

import json
import pathlib
import zipfile

import keras
import pytest
from keras import layers

from tests.support import model_files
from tests.support.small_networks import trained
from tfxfer import architectures, config, errors, models
from tfxfer.models import model_file


@pytest.fixture(scope='module')
def mine(tmp_path_factory):
    folder = tmp_path_factory.mktemp('mine')
    return model_files.saved(trained(model_files.classifier()), folder)


def saved(tmp_path, *stack, side=16, name='a'):
    """A Sequential of layers."""
    model = keras.Sequential([keras.Input((side, side, 3)), *stack])
    return model_files.saved(model, tmp_path, name)


def head():
    return layers.Conv2D(2, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)


def test_a_name_holds_the_path_and_what_is_said_of_the_model():
    arch = architectures.find(
        'model:/a b/c:d=e/x.keras:scaling=torch:layer=pool:size=96:top1=0.5'
    )
    assert arch.file.path == '/a b/c:d=e/x.keras' and arch.file.layer == 'pool'
    assert (arch.input_size, arch.scaling, arch.imagenet_top1) == (96, 'torch', 0.5)
    assert arch.weights == ('model',)
    assert architectures.short(arch.name) == 'x.keras'


@pytest.mark.parametrize(
    'name, message',
    [
        ('model:/x.keras:scalin=torch', "Did you mean 'scaling'"),
        ('model:/x.keras:scaling=tourch', "Did you mean 'torch'"),
        ('model:/x.keras:top1=76', '0-1; got'),
        ('model:/x.keras:size=big', 'size takes pixels'),
        ('model:/x\n.keras', 'control character'),
        ('model:', 'No architecture'),
        ('mobilenet_v4', "Did you mean 'mobilenet_v"),
    ],
)
def test_a_name_that_cannot_be_right_is_refused(name, message):
    with pytest.raises(errors.InputError, match=message):
        architectures.find(name)


def test_size_scaling_and_digest_are_read_without_keras(mine):
    arch = model_file.find(f'model:{mine}')
    assert arch.input_size == 16 and arch.scaling == 'none'
    model = keras.saving.load_model(mine)
    assert arch.parameters == model.count_params()


def test_the_digest_is_of_the_content_not_of_date_place_or_name(mine, tmp_path):
    def digest(path):
        return model_file.read(str(path)).digest

    model = keras.saving.load_model(mine)
    again = model_files.saved(model, tmp_path, 'again')
    model.compile('sgd', 'mse')
    other = model_files.saved(model, tmp_path, 'compiled')
    assert digest(other) == digest(again)
    kernel = model.get_layer('top').kernel
    kernel.assign(kernel + 1e-3)
    changed = model_files.saved(model, tmp_path, 'changed')
    assert digest(changed) != digest(again)


def test_id_is_of_the_content_and_of_what_is_said_that_changes_the_number():
    fields = {'dataset': 'digits', 'setting': 'scratch', 'arch_digest': 'd'}

    def run(name, **changes):
        return config.from_dict({**fields, 'arch': f'model:{name}', **changes}).id

    assert run('/a/x.keras') == run('/b/y.keras') == run('/a/x.keras:top1=0.5')
    assert run('/a/x.keras') != run('/a/x.keras', arch_digest='e')
    assert run('/a/x.keras') != run('/a/x.keras:layer=pool')
    assert run('/a/x.keras').startswith('model-digits-scratch-final-')


def test_a_model_that_scales_pixels_itself_is_seen(tmp_path):
    def scaling(*stack):
        return model_file.find(f'model:{saved(tmp_path, *stack, *head())}').scaling

    assert scaling(layers.Rescaling(1 / 255)) == 'none'
    norm = layers.Normalization(mean=[1, 2, 3], variance=[4, 5, 6])
    assert scaling(layers.RandomFlip(), layers.Resizing(8, 8), norm) == 'none'
    inner = keras.Sequential([keras.Input((16, 16, 3)), layers.Rescaling(2.0)])
    assert scaling(inner) == 'none'
    images = keras.Input((16, 16, 3))
    x = keras.applications.mobilenet_v2.preprocess_input(images)
    for layer in head():
        x = layer(x)
    path = model_files.saved(keras.Model(images, x), tmp_path)
    assert model_file.find(f'model:{path}').scaling == 'none'


def test_where_nothing_scales_pixels_it_must_be_said_how(tmp_path):
    path = saved(tmp_path, layers.Conv2D(3, 1), layers.Rescaling(2.0), *head())
    with pytest.raises(errors.InputError, match='scaling=torch. Known: .*caffe'):
        model_file.find(f'model:{path}')
    assert model_file.find(f'model:{path}:scaling=torch').scaling == 'torch'


def test_what_is_no_network_of_colour_images_is_refused(tmp_path):
    gray = keras.Sequential([keras.Input((8, 8, 1)), *head()])
    oblong = keras.Sequential([keras.Input((8, 9, 3)), *head()])
    flat = keras.Sequential([keras.Input((8,)), layers.Dense(2)])
    two = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    both = keras.Model(two, layers.Add()(two))
    anything = keras.Sequential([keras.Input((None, None, 3)), *head()])
    for model, message in (
        (gray, '1 channels'),
        (oblong, 'no squares'),
        (flat, 'one image'),
        (both, 'one image'),
        (anything, 'any size: say which'),
    ):
        path = model_files.saved(model, tmp_path)
        with pytest.raises(errors.InputError, match=message):
            model_file.find(f'model:{path}:scaling=none')
    assert model_file.find(f'model:{path}:scaling=none:size=32').input_size == 32


def test_code_in_a_file_is_not_run_unless_it_is_trusted(tmp_path):
    ran = tmp_path / 'ran'
    place = str(ran)
    side = layers.Lambda(lambda x: (open(place, 'w').close(), x)[1], name='side')
    path = saved(tmp_path, layers.Rescaling(1 / 255), side, *head())
    ran.unlink()  # It ran when the model was built here.
    for weights in (None, 'model'):
        with pytest.raises(errors.InputError, match="code in it .*'side'.*--trust"):
            models.build(f'model:{path}', 2, weights)
    assert not ran.exists()
    models.build(model_file.find(f'model:{path}', trust=True), 2)
    assert ran.exists()


@keras.saving.register_keras_serializable('mine')
class Custom(layers.Layer):
    def call(self, x):
        return x


def test_layers_that_keras_does_not_know_are_refused(tmp_path):
    """Also where this process knows them: another one would not."""
    path = saved(tmp_path, layers.Rescaling(1 / 255), Custom(name='own'), *head())
    with pytest.raises(errors.InputError, match=r"needs code of yours \(Custom 'own'"):
        model_file.find(f'model:{path}')


def test_a_name_of_a_function_that_is_no_part_of_a_model_is_refused(tmp_path):
    path = saved(tmp_path, layers.Rescaling(1 / 255), *head())
    for module, name in (('keras.utils', 'get_file'), ('os', 'system')):
        bad = tmp_path / 'bad.keras'
        edit(path, bad, lambda text, m=module, n=name: planted(text, m, n))
        with pytest.raises(errors.InputError):
            models.build(f'model:{bad}', 2)


def planted(text, module, name):
    content = json.loads(text)
    for layer in content['config']['layers']:
        if layer['class_name'] == 'Conv2D':
            layer.update(module=module, class_name=name, registered_name=None)
    return json.dumps(content)


def edit(path, to, change):
    """A copy of a model file with another config.json."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, 'w') as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, change(data.decode()) if name == 'config.json' else data)


def test_a_quantised_model_is_refused(tmp_path):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Rescaling(1 / 255), *head()]
    )
    model.quantize('int8')
    path = model_files.saved(model, tmp_path)
    with pytest.raises(errors.InputError, match='quantised'):
        model_file.find(f'model:{path}')


def test_a_damaged_file_is_noticed(mine, tmp_path):
    whole = pathlib.Path(mine).read_bytes()
    path = tmp_path / 'a.keras'
    with zipfile.ZipFile(mine) as archive:
        weights = archive.getinfo('model.weights.h5')
    middle = bytearray(whole)
    middle[weights.header_offset + 3000] ^= 1
    for data in (whole[: len(whole) // 2], bytes(middle), b'', b'no archive'):
        path.write_bytes(data)
        with pytest.raises(errors.InputError, match='truncated or damaged'):
            model_file.find(f'model:{path}')
    edit(mine, path, lambda text: '[1, 2]')
    with pytest.raises(errors.InputError, match='truncated or damaged'):
        model_file.find(f'model:{path}')


def test_what_is_no_keras_file_says_how_to_save_one(tmp_path):
    with pytest.raises(errors.InputError, match="model.save\\('my.keras'\\)"):
        model_file.find(f'model:{tmp_path}')
    with pytest.raises(errors.InputError, match="model.save\\('my.keras'\\)"):
        model_file.find(f'model:{tmp_path}/a.h5')
    with pytest.raises(errors.InputError, match='There is no model file'):
        model_file.find(f'model:{tmp_path}/a.keras')

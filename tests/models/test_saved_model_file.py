"""What a user's SavedModel says of itself, and what is refused."""

import os
import pathlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.support import model_files, saved_models
from tests.support.saved_models import SIDE
from tests.support.small_networks import trained
from tfxfer import architectures, config, errors
from tfxfer.models import model_file, saved_model_ops


@pytest.fixture(scope='module')
def mine(tmp_path_factory):
    return saved_models.exported(tmp_path_factory.mktemp('mine') / 'saved')


@pytest.fixture(scope='module')
def module(tmp_path_factory):
    return saved_models.of_module(tmp_path_factory.mktemp('module') / 'saved')


def find(path, *said):
    return model_file.find(':'.join(['model', str(path), *said]))


def refused(match, path, *said):
    with pytest.raises(errors.InputError, match=match) as error:
        find(path, *said)
    assert len(str(error.value).splitlines()) == 1


def test_size_digest_and_parameters_are_read_from_the_folder(mine, module):
    arch = find(mine, 'scaling=none')
    assert (arch.input_size, arch.scaling, arch.graph) == (SIDE, 'none', 'saved_model')
    floats = [v for v in saved_models.classifier().variables if v.dtype == 'float32']
    assert arch.parameters == sum(np.prod(v.shape) for v in floats)
    assert find(module, 'scaling=none', 'size=24').parameters == 3 * 3 * 3 * 6 + 6
    assert architectures.short(arch.name) == 'saved'


def test_the_digest_is_of_the_content_not_of_the_place(mine, tmp_path):
    moved = shutil.copytree(mine, tmp_path / 'moved')
    first = find(mine, 'scaling=none').file.digest
    assert find(moved, 'scaling=none').file.digest == first
    other = saved_models.exported(tmp_path / 'other', saved_models.classifier(seed=1))
    assert find(other, 'scaling=none').file.digest != first


def test_signature_and_output_are_part_of_the_id_and_of_cached_features():
    fields = {'dataset': 'digits', 'setting': 'logistic', 'weights': 'model'}

    def run(name):
        arch = architectures.find(f'model:{name}')
        made = {**fields, 'arch': arch.name, 'arch_digest': 'd'}
        return config.from_dict(made).id, str(architectures.described(arch))

    first = run('/a/x:scaling=none')
    assert first == run('/b/x:scaling=none')
    assert "'signature'" not in first[1]
    for said in ('signature=b', 'output=c'):
        other = run(f'/a/x:scaling=none:{said}')
        assert other[0] != first[0] and other[1] != first[1]
    plain = architectures.find('model:/a/x:scaling=none')
    assert plain.identity == 'model:::none'
    assert architectures.find('model:/a/x:output=c').identity == 'model:::::c'


def test_what_a_graph_does_not_say_must_be_said(mine, module, tmp_path):
    refused('say how|Say it, as .*scaling=torch.*Known: .*caffe', mine)
    refused('takes images of any size: say which', module, 'scaling=none')
    refused(
        r'images of \[16, 16\] pixels, and size=32', mine, 'scaling=none', 'size=32'
    )
    refused('scaling=none, not torch', module, 'scaling=torch', 'signature=bytes',
            'output=maps')  # fmt: skip
    refused('outputs maps, pool: say which', module, 'signature=bytes')
    refused("Did you mean 'maps'", module, 'output=map')
    refused("Did you mean 'bytes'", module, 'signature=byte')
    refused('holds no layers: name an output', module, 'layer=pool')
    path = model_files.saved(trained(model_files.classifier()), tmp_path)
    refused('name a layer, as .*:layer=', path, 'output=maps')


def test_what_takes_or_gives_no_images_is_refused(tmp_path):
    def saved(name, compute, *specs):
        return saved_models.of_function(tmp_path / name, compute, specs or None)

    def spec(*shape, dtype=tf.float32, name='image'):
        return tf.TensorSpec(shape, dtype, name)

    def mean(x):
        return tf.reduce_mean(tf.cast(x, tf.float32), (1, 2))

    one = 'must take one batch of images'
    refused(one, saved('gray', mean, spec(None, 8, 8, 1)))
    refused(one, saved('flat', lambda x: x, spec(None, 8)))
    refused(one, saved('one', mean, spec(1, 8, 8, 3)))
    refused(one, saved('int', mean, spec(None, 8, 8, 3, dtype=tf.int64)))
    two = spec(None, 8, 8, 3), spec(None, 8, 8, 3, name='other')
    refused(one, saved('two', lambda x, y: mean(x + y), *two))
    oblong = saved('oblong', mean, spec(None, 8, 9, 3))
    refused('no squares', oblong, 'scaling=none')
    refused('must be float32', saved('three', lambda x: x[:, 0]))
    refused('must be float32', saved('whole', lambda x: tf.cast(mean(x), tf.int32)))
    module = tf.Module()
    module.v = tf.Variable(1.0)
    tf.saved_model.save(module, str(tmp_path / 'none'))
    refused('has no signature. Save it with one', tmp_path / 'none')


def test_a_folder_that_is_not_whole_is_refused(mine, tmp_path):
    def damaged(change):
        folder = shutil.copytree(mine, tmp_path / 'copy', dirs_exist_ok=True)
        change(pathlib.Path(folder))
        return folder

    def cut(name, share=0.5):
        def change(folder):
            data = (folder / name).read_bytes()
            (folder / name).write_bytes(data[: int(len(data) * share)])

        return change

    def flip(folder):
        file = folder / values
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)

    values = 'variables/variables.data-00000-of-00001'
    said = 'scaling=none'
    for change in (
        cut('saved_model.pb'), cut('saved_model.pb', 0), cut(values), flip,
        cut('variables/variables.index'), lambda folder: os.remove(folder / values),
    ):  # fmt: skip
        refused('truncated or damaged', damaged(change), said)
    no_variables = damaged(lambda folder: shutil.rmtree(folder / 'variables'))
    refused('lacks variables/variables.index', no_variables, said)
    no_graph = damaged(lambda folder: os.remove(folder / 'saved_model.pb'))
    refused('lacks saved_model.pb', no_graph, said)
    diverged = saved_models.classifier()
    diverged.get_layer('top').kernel.assign(np.full((6, 4), np.nan))
    refused('not finite', saved_models.exported(tmp_path / 'nan', diverged), said)


def test_one_of_tensorflow_1_is_told_what_to_do(tmp_path):
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        tf.random.set_seed(0)  # As determinism, which other tests enable, wants.
        image = v1.placeholder(tf.float32, [None, SIDE, SIDE, 3])
        kernel = v1.get_variable('w', [3, 2])
        session.run(v1.global_variables_initializer())
        pool = tf.reduce_mean(image, (1, 2)) @ kernel
        v1.saved_model.simple_save(
            session, str(tmp_path / 'a'), {'image': image}, {'pool': pool}
        )
    refused('of TensorFlow 1', tmp_path / 'a', 'scaling=none')


def pooled(images):
    return tf.reduce_mean(images, (1, 2))


def reads(images):
    return pooled(images) + tf.strings.length(tf.io.read_file('/etc/hostname'))


def writes(images):
    with tf.control_dependencies([tf.io.write_file('/tmp/tfxfer_ran', 'x')]):
        return pooled(images)


def lists(images):
    found = tf.io.matching_files('/*')
    return pooled(images) + tf.cast(tf.size(found), tf.float32)


def runs_python(images):
    return tf.ensure_shape(
        tf.numpy_function(np.mean, [images], tf.float32), []
    ) + pooled(images)


def prints(images):
    tf.print('x', output_stream='file:///tmp/tfxfer_ran')
    return pooled(images)


def within(compute):
    """The same in a branch of a function that is called."""

    @tf.function
    def inner(images):
        dark = tf.reduce_mean(images) < 0
        return tf.cond(dark, lambda: compute(images), lambda: pooled(images))

    return lambda images: inner(images)


OPERATIONS = {
    'ReadFile': lambda x: pooled(x) + tf.cast(
        tf.strings.length(tf.io.read_file('/etc/hostname')), tf.float32
    ),
    'WriteFile': writes,
    'MatchingFiles': lists,
    'PyFunc': runs_python,
    'PrintV2': prints,
    'SaveV2': lambda x: (
        tf.raw_ops.SaveV2(
            prefix='/tmp/tfxfer_ran', tensor_names=['a'], shape_and_slices=[''],
            tensors=[x],
        ),
        pooled(x),
    )[1],
    'RestoreV2': lambda x: pooled(x) + tf.raw_ops.RestoreV2(
        prefix='/tmp/a', tensor_names=['a'], shape_and_slices=[''], dtypes=[tf.float32]
    )[0],
    'ImmutableConst': lambda x: pooled(x) + tf.raw_ops.ImmutableConst(
        dtype=tf.float32, shape=[3], memory_region_name='/etc/hostname'
    ),
}  # fmt: skip


@pytest.mark.parametrize('nested', [False, True])
@pytest.mark.parametrize('name', OPERATIONS)
def test_operations_that_do_more_than_compute_are_refused(name, nested, tmp_path):
    compute = within(OPERATIONS[name]) if nested else OPERATIONS[name]
    path = saved_models.of_function(tmp_path / 'a', compute)
    refused(f'does more than compute .*{name}.*--trust', path, 'scaling=none')
    assert not os.path.exists('/tmp/tfxfer_ran')


def test_also_where_no_signature_runs_them_but_shapes_are_worked_out(tmp_path):
    module = tf.Module()
    spec = [tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, 'image')]
    module.call = tf.function(pooled, input_signature=spec)
    module.other = tf.function(OPERATIONS['ReadFile'], input_signature=spec)
    module.other.get_concrete_function()
    tf.saved_model.save(module, str(tmp_path / 'a'), signatures=module.call)
    refused('ReadFile', tmp_path / 'a', 'scaling=none')


def test_tables_and_files_beside_the_graph_are_refused(tmp_path):
    names = tmp_path / 'names.txt'
    names.write_text('a\nb\n')
    table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(names), tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER, tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
        ),
        '',
    )  # fmt: skip

    def compute(images):
        length = tf.strings.length(table.lookup(tf.constant(1, tf.int64)))
        return pooled(images) + tf.cast(length, tf.float32)

    path = saved_models.of_function(tmp_path / 'a', compute, table=table)
    refused('asset.*resource', path, 'scaling=none')


def test_what_counts_is_the_function_that_the_loader_runs(tmp_path):
    """Not the nodes that the signature names, which the loader does not use."""
    from tensorflow.core.protobuf import saved_model_pb2

    module = tf.Module()
    spec = [tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, 'image')]
    module.call = tf.function(pooled, input_signature=spec)
    module.other = tf.function(writes, input_signature=spec)
    signatures = {'serving_default': module.call, 'other': module.other}
    tf.saved_model.save(module, str(tmp_path / 'a'), signatures=signatures)
    find(tmp_path / 'a', 'scaling=none')
    file = tmp_path / 'a' / 'saved_model.pb'
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    nodes = saved.meta_graphs[0].object_graph_def.nodes
    (named,) = (n for n in nodes if n.user_object.identifier == 'signature_map')
    ids = {child.local_name: child.node_id for child in named.children}
    for child in named.children:
        child.node_id = ids['other']
    file.write_bytes(saved.SerializeToString())
    refused('WriteFile', tmp_path / 'a', 'scaling=none')
    named.ClearField('children')
    file.write_bytes(saved.SerializeToString())
    refused('lacks serving_default', tmp_path / 'a', 'scaling=none')


def test_a_loaded_function_is_looked_at_as_it_is(tmp_path):
    for name, expected in (('PyFunc', ['PyFunc']), ('WriteFile', ['WriteFile'])):
        path = saved_models.of_function(tmp_path / name, within(OPERATIONS[name]))
        loaded = tf.saved_model.load(path)
        graph = loaded.signatures['serving_default'].graph.as_graph_def()
        assert saved_model_ops.unlisted(graph) == expected


def test_a_function_that_is_called_like_an_operation_is_refused(mine, tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    folder = shutil.copytree(mine, tmp_path / 'a')
    file = pathlib.Path(folder) / 'saved_model.pb'
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    library = saved.meta_graphs[0].graph_def.library
    library.function.add().signature.name = 'Relu'
    library.function.add().node_def.add(name='x', op='NotOfTensorFlow')
    file.write_bytes(saved.SerializeToString())
    refused('NotOfTensorFlow, Relu', folder, 'scaling=none')


def test_an_export_that_flips_images_at_random_is_refused(tmp_path):
    model = trained(model_files.classifier())
    path = saved_models.exported(tmp_path / 'a', model)
    refused('changes its own variables .*RandomFlip', path, 'scaling=none')


def test_what_networks_are_made_of_is_allowed(tmp_path):
    """Every kind of layer of Keras Applications, and recurrence."""
    images = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 255)(images)
    x = layers.SeparableConv2D(6, 3, activation='swish')(layers.ZeroPadding2D()(x))
    x = layers.LayerNormalization()(layers.Conv2DTranspose(6, 3, 2)(x))
    x = layers.UpSampling2D(interpolation='bilinear')(layers.MaxPooling2D()(x))
    x = layers.GroupNormalization(2)(layers.Activation('gelu')(x))
    x = layers.Reshape((-1, 6))(layers.Resizing(4, 4)(x))
    x = layers.MultiHeadAttention(2, 3)(x, x)
    x = layers.GRU(5)(x)
    model = trained(keras.Model(images, x))
    path = saved_models.exported(tmp_path / 'a', model)
    assert find(path, 'scaling=none').parameters > 0


def test_nothing_that_touches_files_or_runs_code_is_in_the_list():
    allowed = saved_model_ops.computing()
    assert {'Conv2D', 'MatMul', 'FusedBatchNormV3', 'ResizeBicubic'} <= allowed
    for part in (
        'File', 'Save', 'Restore', 'PyFunc', 'Print', 'TPU', 'Table', 'Dataset',
        'Iterator', 'Summary', 'Send', 'Recv', 'Queue', 'Host', 'Xla', 'Remote',
        'AssignV', 'Abort', 'DebugIdentity', 'Immutable', 'Collective',
    ):  # fmt: skip
        assert not [name for name in allowed if part in name]

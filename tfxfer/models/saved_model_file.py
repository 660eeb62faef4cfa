"""A user's SavedModel: what it says of itself, read before TensorFlow loads any of it.

A folder of saved_model.pb, which holds graphs and how its objects hang together, and
variables/, a checkpoint.
"""

import dataclasses
import hashlib
import math
import os
import pathlib
import typing

import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from tfxfer import architectures, errors, path_patterns
from tfxfer.models import saved_model_ops

GRAPH, VARIABLES = 'saved_model.pb', 'variables'
INDEX = f'{VARIABLES}/variables.index'
DEFAULT = 'serving_default'  # The signature that Keras and TensorFlow write.
_IMAGES = (tf.float32, tf.uint8)  # What a signature may take.
# What the loader would run or read files for.
_RUN_AT_LOADING = ('resource', 'asset')
_PROTOBUF_LIMIT = 2**31  # Bytes of a graph, in which the variables are constants.


@dataclasses.dataclass(frozen=True)
class Signature:
    """How features come out of a SavedModel.

    Attributes:
        name: of the signature.
        image: what it calls its only input.
        dtype: of the images.
        sides: [height, width] of the images, None where it takes any.
        output: what it calls the output that is the features.
        function: that the loader runs for it, a name in the graph's library.
        variables: how many numbers are in the variables that it reads.
    """

    name: str
    image: str
    dtype: tf.DType
    sides: list[int | None]
    output: str
    function: str
    variables: int


@dataclasses.dataclass(frozen=True)
class Content:
    """What a folder holds.

    Attributes:
        serialized: saved_model.pb.
        graph: its only one.
        digest: SHA-256 of the graph and the variables.
    """

    serialized: bytes
    graph: meta_graph_pb2.MetaGraphDef
    digest: str


def complete(arch: architectures.Architecture) -> architectures.Architecture:
    """The Architecture of a SavedModel with what the folder says.

    Raises:
        errors.InputError: damaged, or not of TensorFlow 2; operations that do more than
            compute; no such signature or output; no colour images; or the scaling of
            pixels is not said.
    """
    assert arch.file, arch.name
    path = arch.file.path
    if arch.file.layer:
        raise errors.InputError(
            f'{path} is a SavedModel, which holds no layers: name an output of its '
            f'signature, as model:{path}:output=NAME.'
        )
    content = read(path)
    signature = find_signature(arch, content.graph)
    _check_code(path, content.graph, signature, trust=arch.file.trust)
    if not arch.scaling:
        raise errors.InputError(
            f'{path} is a SavedModel: its graph does not say how pixels are to be '
            f'scaled. Say it, as model:{path}:scaling=torch; none, where it takes 0-255'
            f'. Known: {", ".join(architectures.SCALINGS)} (docs/networks.md).'
        )
    if signature.dtype == tf.uint8 and arch.scaling != 'none':
        raise errors.InputError(
            f'{path} takes images of whole numbers, 0-255, which leaves the scaling to '
            f'it: say scaling=none, not {arch.scaling}.'
        )
    return dataclasses.replace(
        arch,
        input_size=_side(path, signature, arch.input_size),
        parameters=signature.variables,
        graph=architectures.SAVED_MODEL,
        file=dataclasses.replace(arch.file, digest=content.digest),
    )


def read(path: str) -> Content:
    """What a folder holds, every variable read once.

    Raises:
        errors.InputError: something is missing, truncated, damaged or not finite.
    """
    folder = pathlib.Path(path)
    for name in (GRAPH, INDEX):
        if not (folder / name).is_file():
            raise errors.InputError(
                f'{path} lacks {name}: it is no complete SavedModel, as '
                "model.export('folder') and tf.saved_model.save write it."
            )
    serialized = (folder / GRAPH).read_bytes()
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString(serialized)
    except message.DecodeError as error:
        raise _damaged(path, f'{GRAPH}: {error}') from error
    if len(saved.meta_graphs) != 1:
        raise _damaged(path, f'{GRAPH} holds {len(saved.meta_graphs)} graphs, not one')
    graph = saved.meta_graphs[0]
    if not graph.object_graph_def.nodes:
        raise errors.InputError(
            f'{path} is a SavedModel of TensorFlow 1. Load it with '
            'tf.saved_model.load(path) and write it anew with tf.saved_model.save.'
        )
    _check_variables(path)
    return Content(serialized, graph, _digest(folder, serialized))


def _digest(folder: pathlib.Path, serialized: bytes) -> str:
    """SHA-256 of the graph and of all files of the variables."""
    total = hashlib.sha256(serialized)
    for file in sorted((folder / VARIABLES).glob('variables.*')):
        total.update(f'\n{file.name} {file.stat().st_size}\n'.encode())
        with open(file, 'rb') as stream:
            while block := stream.read(2**22):
                total.update(block)
    return total.hexdigest()


def _check_variables(path: str) -> None:
    """Reads every variable, which TensorFlow compares with its checksum."""
    size, unsound = 0, []
    try:
        with path_patterns.literal(path) as folder:
            reader = tf.train.load_checkpoint(str(folder / VARIABLES / VARIABLES))
            for name in reader.get_variable_to_shape_map():
                array = reader.get_tensor(name)
                size += getattr(array, 'nbytes', 0)
                floats = isinstance(array, np.ndarray) and array.dtype.kind == 'f'
                if floats and not np.isfinite(array).all():
                    unsound.append(name)
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
        raise _damaged(path, error) from error
    if unsound:
        raise errors.InputError(
            f'{path} has variables that are not finite ({unsound[0]}): it is damaged, '
            'or the training that made it diverged.'
        )
    if size + os.path.getsize(pathlib.Path(path) / GRAPH) >= _PROTOBUF_LIMIT:
        raise errors.InputError(
            f'{path} has {size / 2**30:.1f} GiB of variables; a SavedModel can be used '
            'up to 2 GiB. Save the model as .keras.'
        )


def _damaged(path: str, error: object) -> errors.InputError:
    lines = str(error).splitlines() or [type(error).__name__]
    return errors.InputError(
        f'{path} is no SavedModel, or is truncated or damaged ({lines[0]}).'
    )


def find_signature(
    arch: architectures.Architecture, graph: meta_graph_pb2.MetaGraphDef
) -> Signature:
    """The Signature that an Architecture names.

    Raises:
        errors.InputError: there is none such, or it takes or gives something else.
    """
    assert arch.file, arch.name
    path = arch.file.path
    known = {k: v for k, v in graph.signature_def.items() if not k.startswith('__')}
    if not known:
        raise errors.InputError(
            f'{path} has no signature. Save it with one: '
            'tf.saved_model.save(model, folder, signatures=function).'
        )
    name = arch.file.signature or DEFAULT
    chosen = errors.find(f'signature in {path}', known, name)
    image, dtype, sides = _image(f'Signature {name!r} of {path}', chosen.inputs)
    output = arch.file.output
    if not output and len(chosen.outputs) != 1:
        raise errors.InputError(
            f'Signature {name!r} of {path} has the outputs '
            f'{", ".join(sorted(chosen.outputs)) or "none"}: say which are the '
            f'features, as model:{path}:output=NAME.'
        )
    output = output or next(iter(chosen.outputs))
    info = errors.find(f'output of {name!r} in {path}', dict(chosen.outputs), output)
    shape = _shape(info)
    if tf.DType(info.dtype) != tf.float32 or (shape and len(shape) not in (2, 4)):
        raise errors.InputError(
            f'The features {output!r} of {path} must be float32 [batch, d] or [batch, '
            f'height, width, d]; they are {tf.DType(info.dtype).name} {shape}.'
        )
    function, variables = _function(path, graph, name)
    return Signature(name, image, dtype, sides, output, function, variables)


def _image(
    what: str, inputs: typing.Mapping[str, meta_graph_pb2.TensorInfo]
) -> tuple[str, tf.DType, list[int | None]]:
    """(name, dtype, sides) of a signature's only input, if it takes colour images."""
    described = ', '.join(
        f'{name} {tf.DType(info.dtype).name} {_shape(info)}'
        for name, info in sorted(inputs.items())
    )
    refused = errors.InputError(
        f'{what} must take one batch of images, float32 or uint8 [batch, height, '
        f'width, 3] with any batch; it takes {described or "nothing"}.'
    )
    if len(inputs) != 1:
        raise refused
    ((name, info),) = inputs.items()
    shape, dtype = _shape(info), tf.DType(info.dtype)
    if dtype not in _IMAGES or len(shape) != 4 or shape[0] or shape[3] not in (3, None):
        raise refused
    return name, dtype, shape[1:3]


def _shape(info: meta_graph_pb2.TensorInfo) -> list[int | None]:
    """Of a tensor, None where open; [] of one that may have any number of axes."""
    return [None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim]


def _side(path: str, signature: Signature, given: int) -> int:
    """Side of the images that a signature takes; given: 0 where nothing was."""
    fixed = {side for side in signature.sides if side}
    if len(fixed | ({given} if given else set())) > 1:
        said = f', and size={given} was said' if given else ', no squares'
        raise errors.InputError(
            f'{path} takes images of {signature.sides} pixels{said}.'
        )
    if not (side := given or next(iter(fixed), 0)):
        raise errors.InputError(
            f'{path} takes images of any size: say which, as model:{path}:size=224.'
        )
    return side


def _check_code(
    path: str,
    graph: meta_graph_pb2.MetaGraphDef,
    signature: Signature,
    *,
    trust: bool,
) -> None:
    """Refuses what may do more than compute, when it is loaded or when it runs."""
    operations = set(saved_model_ops.refused(graph, signature.function))
    if changed := operations & set(saved_model_ops.CHANGES):
        raise errors.InputError(
            f'Signature {signature.name!r} of {path} changes its own variables '
            f'({", ".join(sorted(changed))}): it would give other features each time. '
            "Keras' export does so for layers that augment images, such as RandomFlip: "
            "leave them out, or save the model as a file: model.save('my.keras')."
        )
    if trust:
        return
    objects = graph.object_graph_def.nodes
    found = {kind for each in objects if (kind := each.WhichOneof('kind'))}
    found &= set(_RUN_AT_LOADING)
    if any(each.saveable_objects or each.registered_saver for each in objects):
        found.add('functions that restore it')
    found |= {each.registered_name for each in objects} - {''}
    found |= operations
    if found:
        raise errors.InputError(
            f'{path} does more than compute ({", ".join(sorted(found))}), as reading '
            'files or running code, which is not run. If you trust who made it: '
            '--trust. Better: save the network alone.'
        )


def _function(
    path: str, graph: meta_graph_pb2.MetaGraphDef, signature: str
) -> tuple[str, int]:
    """The function that the loader runs for a signature; numbers in its variables."""
    nodes = graph.object_graph_def.nodes
    known = graph.object_graph_def.concrete_functions
    try:
        # The loader, too, takes the last of several of one name.
        child = {each.local_name: each.node_id for each in nodes[0].children}
        of = {e.local_name: e.node_id for e in nodes[child['signatures']].children}
        function = nodes[of[signature]].bare_concrete_function.concrete_function_name
        if function not in known:
            raise KeyError(f'the function of {signature}')
        held = [nodes[i].variable for i in known[function].bound_inputs]
    except (KeyError, IndexError) as error:
        raise _damaged(path, f'{GRAPH} lacks {error.args[0]}') from error
    shapes = [[dim.size for dim in each.shape.dim] for each in held if each.dtype]
    return function, sum(math.prod(shape) for shape in shapes)

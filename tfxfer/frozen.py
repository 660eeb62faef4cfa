"""A Keras model as it predicts fastest: one frozen graph, batch norm folded away.

The model is traced for one shape of batch; what the images do not change is computed
once; per-channel scales and offsets go into the kernels and biases next to them; and
TensorFlow's graph optimizer fuses the rest (convolution, bias and activation in one
call of oneDNN, on a CPU). The same mathematics, rounded differently.
"""

import contextlib
import os
import pathlib

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import rewriter_config_pb2

from tfxfer import config

# Any of them multiplies bfloat16 numbers; without, the same takes longer than float32.
BFLOAT16_FLAGS = ('avx512_bf16', 'amx_bf16')

# Linear operations, and the axes of the output channels in their kernels.
OUTPUT_AXES = {'Conv2D': (3,), 'DepthwiseConv2dNative': (2, 3), 'MatMul': (1,)}


def check(precision, cpuinfo='/proc/cpuinfo'):
    """Whether networks can run in a precision here.

    Args:
        precision: one of config.PRECISIONS.
        cpuinfo: where Linux says what the processor can do.

    Raises:
        config.InputError: unknown, or something that it needs is lacking.
    """
    if precision not in config.PRECISIONS:
        raise config.InputError(
            f'No precision {precision!r}. Known: {", ".join(config.PRECISIONS)}.'
        )
    if precision == 'float32':
        return
    lacking = None
    if tf.config.list_logical_devices('GPU'):
        lacking = 'runs on the CPU, and TensorFlow uses a GPU'
    elif os.environ.get('TF_ENABLE_ONEDNN_OPTS') == '0':
        lacking = 'needs oneDNN, which TF_ENABLE_ONEDNN_OPTS=0 turns off'
    elif not set(BFLOAT16_FLAGS) & _processor_flags(cpuinfo):
        lacking = f'needs a processor with {" or ".join(BFLOAT16_FLAGS)}'
    if lacking:
        raise config.InputError(f'precision=bfloat16 {lacking}. Use float32.')


def _processor_flags(cpuinfo):
    """Of the first processor; none where there is no such file."""
    file = pathlib.Path(cpuinfo)
    lines = file.read_text().splitlines() if file.exists() else ()
    flags = (line.partition(':')[2] for line in lines if line.startswith('flags'))
    return set(next(flags, '').split())


@contextlib.contextmanager
def engine(model, spec, outputs, *, precision='float32'):
    """A function that predicts with the weights that a model has now.

    Args:
        model: keras.Model: image -> {name: array}.
        spec: tf.TensorSpec of a batch of images, its shape known.
        outputs: names of what to compute; the layers that serve others do not run.
        precision: of the arithmetic inside, one of config.PRECISIONS.

    Yields:
        A function: images, NumPy [b, h, w, 3] -> {name: NumPy array [b, ...]}.

    Raises:
        config.InputError: see check.
    """
    check(precision)
    graph, images, fetches = _graph(model, spec, outputs)
    with _session(graph, _settings(precision)) as session:
        run = session.make_callable(fetches, feed_list=images)
        yield lambda batch: dict(zip(outputs, run(batch), strict=True))


def _session(graph, settings=None):
    # `with Session` would make its graph the one that the caller's own lines go to.
    return contextlib.closing(tf.compat.v1.Session(graph=graph, config=settings))


def _graph(model, spec, outputs):
    """tf.Graph of the frozen model, [its image tensor], its output tensors.

    A function of its own, so that its other copies of the weights end with it.
    """
    network = Network(model, spec, outputs)
    network.fold_into_kernels()
    network.fold_scales_of_inputs()
    network.fuse_norms()
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(network.graph_def(), name='')
    return graph, *(
        [graph.get_tensor_by_name(n) for n in names]
        for names in ([network.image], network.fetches)
    )


def _settings(precision):
    settings = tf.compat.v1.ConfigProto(
        allow_soft_placement=True,
        # One operation at a time: a second would take the cores from the first.
        inter_op_parallelism_threads=-1,
    )
    if precision == 'bfloat16':
        rewriting = settings.graph_options.rewrite_options
        rewriting.auto_mixed_precision_onednn_bfloat16 = (
            rewriter_config_pb2.RewriterConfig.ON
        )
    return settings


class Network:
    """A graph from images to outputs that is rewritten step by step.

    Attributes:
        image: name of the tensor of images.
        fetches: names of the output tensors.
        nodes: {name: NodeDef} of what depends on the images, in order.
        constants: {name: NumPy array} of what does not.
    """

    def __init__(self, model, spec, outputs):
        def infer(image):
            given = model(tf.cast(image, tf.float32), training=False)
            return [given[name] for name in outputs]

        traced = tf.function(infer).get_concrete_function(spec)
        self.image = traced.inputs[0].name
        self.fetches = [tensor.name for tensor in traced.outputs]
        self.frame = traced.graph.as_graph_def()  # Version, library of functions.
        needed = _needed(traced)
        self.constants = _constants(traced, needed)
        self.nodes = {op.name: _node(op) for op in needed}
        self._skip_identities()

    def _skip_identities(self):
        sources = {}
        for node in list(self.nodes.values()):
            node.input[:] = [sources.get(name, name) for name in node.input]
            if node.op == 'Identity' and f'{node.name}:0' not in self.fetches:
                sources[node.name] = self.nodes.pop(node.name).input[0]

    def _users(self):
        """{name: nodes that read it}; an output is read by None too."""
        users = {name.removesuffix(':0'): [None] for name in self.fetches}
        for node in self.nodes.values():
            for name in node.input:
                users.setdefault(name, []).append(node)
        return users

    def _affine(self, node, channels):
        """(what is computed from, scale, offset f64 [c]) of a scale or an offset.

        None if the node is not one, of `channels` channels in the last axis.
        """
        if node is None or node.op not in ('Mul', 'AddV2', 'BiasAdd', 'Sub'):
            return None
        places = (1,) if node.op in ('Sub', 'BiasAdd') else (1, 0)
        for place in places:
            value = self.constants.get(node.input[place])
            if value is None or value.dtype != np.float32:
                continue
            if value.size != 1 and value.shape[-1] != value.size:
                continue
            if value.ndim > 4 or value.size not in (1, channels):
                continue
            value = np.full(channels, value.reshape(-1), np.float64)
            same = np.ones(channels), np.zeros(channels)
            pair = {'Mul': (value, same[1]), 'Sub': (same[0], -value)}
            return node.input[1 - place], *pair.get(node.op, (same[0], value))
        return None

    def _linear(self):
        """(node, kernel f64) of each linear operation, its kernel constant."""
        for node in list(self.nodes.values()):
            if node.op not in OUTPUT_AXES or node.input[1] not in self.constants:
                continue
            kernel = self.constants[node.input[1]]
            plain = (
                not (node.attr['transpose_a'].b or node.attr['transpose_b'].b)
                if node.op == 'MatMul'
                else node.attr['data_format'].s == b'NHWC'
            )
            if plain and kernel.dtype == np.float32:
                yield node, kernel.astype(np.float64)

    def _constant(self, name, value):
        self.constants[name] = np.asarray(value, np.float32)
        return name

    def fold_into_kernels(self):
        """Scales and offsets after a linear operation become its kernel and a bias."""
        users = self._users()
        for node, kernel in self._linear():
            axes = [kernel.shape[axis] for axis in OUTPUT_AXES[node.op]]
            channels = int(np.prod(axes))
            scale, offset, last = np.ones(channels), np.zeros(channels), node
            while len(users[last.name]) == 1:
                after = users[last.name][0]
                found = self._affine(after, channels)
                if not found:
                    break
                if last is not node:
                    del self.nodes[last.name]
                scale, offset, last = (
                    scale * found[1],
                    offset * found[1] + found[2],
                    after,
                )
            if last is node:
                continue
            node.input[1] = self._constant(
                f'{node.name}/kernel', kernel * scale.reshape(axes)
            )
            bias = self._constant(f'{node.name}/bias', offset)
            last.CopyFrom(_new('BiasAdd', last.name, [node.name, bias]))

    def fold_scales_of_inputs(self):
        """The scaling of the pixels becomes an offset alone; the kernel takes the rest.

        x scale + offset = (x + offset / scale) scale. The offset stays, as zeros that a
        convolution pads with stand for it, and centred pixels lose less in bfloat16.
        """
        users = self._users()
        for node, kernel in self._linear():
            source = self.nodes.get(node.input[0])
            if source is not None and source.op == 'Pad':
                source = self.nodes.get(source.input[0])
            if node.op != 'Conv2D' or source is None or source.op == 'Mul':
                continue
            channels = kernel.shape[2]
            outer = self._affine(source, channels)
            scaling = self.nodes.get(outer[0]) if outer else None
            inner = self._affine(scaling, channels)
            if not inner or scaling.op != 'Mul' or not inner[1].all():
                continue
            if any(len(users[n.name]) != 1 for n in (source, scaling)):
                continue
            node.input[1] = self._constant(
                f'{node.name}/scaled', kernel * inner[1][:, None]
            )
            shift = self._constant(f'{source.name}/shift', outer[2] / inner[1])
            self.nodes[source.name].CopyFrom(
                _new('AddV2', source.name, [inner[0], shift])
            )
            del self.nodes[scaling.name]

    def fuse_norms(self):
        """Scale, then offset, with no kernel to go to: one operation, not two."""
        users = self._users()
        for scaling in list(self.nodes.values()):
            after = users.get(scaling.name, [None])
            sizes = [
                self.constants[name].size
                for name in scaling.input
                if name in self.constants
            ]
            if scaling.op != 'Mul' or len(after) != 1 or not sizes:
                continue
            inner = self._affine(scaling, sizes[0])
            outer = self._affine(after[0], sizes[0])
            # Below, oneDNN has no kernels for it; the image itself has 3.
            if not inner or not outer or after[0].op == 'Mul' or sizes[0] < 8:
                continue
            name = after[0].name
            facts = {
                'scale': inner[1],
                'offset': outer[2],
                'mean': np.zeros(sizes[0]),
                'variance': np.ones(sizes[0]),
            }
            inputs = [self._constant(f'{name}/{k}', v) for k, v in facts.items()]
            norm = _new('FusedBatchNormV3', name, [inner[0], *inputs])
            norm.attr['U'].CopyFrom(norm.attr['T'])
            norm.attr['is_training'].b = False
            norm.attr['epsilon'].f = 0.0
            self.nodes[name].CopyFrom(norm)
            del self.nodes[scaling.name]

    def graph_def(self):
        """As a GraphDef; the constants move there."""
        nodes = self.nodes.values()
        graph = tf.compat.v1.GraphDef(
            node=nodes, versions=self.frame.versions, library=self.frame.library
        )
        for name in {name for node in nodes for name in node.input}:
            if name in self.constants:
                value = self.constants[name]
                node = graph.node.add(name=name, op='Const')
                node.attr['dtype'].type = tf.as_dtype(value.dtype).as_datatype_enum
                node.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(value))
        self.constants.clear()
        return graph


def _name(tensor):
    """As a NodeDef's input says it."""
    return tensor.name.removesuffix(':0')


def _node(op):
    node = tf.compat.v1.NodeDef(
        name=op.name, op=op.type, input=[_name(tensor) for tensor in op.inputs]
    )
    for name, value in op.node_def.attr.items():
        if not name.startswith('_'):  # Of the function that it was traced in.
            node.attr[name].CopyFrom(value)
    return node


def _new(op, name, inputs):
    node = tf.compat.v1.NodeDef(name=name, op=op, input=inputs)
    node.attr['T'].type = tf.float32.as_datatype_enum
    if op != 'AddV2':
        node.attr['data_format'].s = b'NHWC'
    return node


def _needed(traced):
    """Operations between the image and the outputs, in order."""
    reaches = set()
    waiting = [tensor.op for tensor in traced.outputs]
    while waiting:
        op = waiting.pop()
        if op.name not in reaches:
            reaches.add(op.name)
            waiting += [tensor.op for tensor in op.inputs]
    image = traced.inputs[0].op
    depends = {image.name}
    for op in traced.graph.get_operations():  # Each after those it reads.
        if any(tensor.op.name in depends for tensor in op.inputs):
            depends.add(op.name)
    return [op for op in traced.graph.get_operations() if op.name in depends & reaches]


def _constants(traced, needed):
    """{name: array} of what the needed operations read, the image left out."""
    captured = {
        inner.name: outer
        for inner, outer in zip(
            traced.graph.internal_captures, traced.captured_inputs, strict=True
        )
    }
    weights = {
        op.outputs[0].name: tf.raw_ops.ReadVariableOp(
            resource=captured[op.inputs[0].name], dtype=op.outputs[0].dtype
        ).numpy()
        for op in traced.graph.get_operations()
        if op.type == 'ReadVariableOp'
    }
    names = {op.name for op in needed}
    border = {
        _name(tensor): tensor
        for op in needed
        for tensor in op.inputs
        if tensor.op.name not in names
    }
    with _session(traced.graph) as session:
        return session.run(border, weights)

"""Which operations a SavedModel may hold: those that compute, and nothing else.

A graph can hold more than arithmetic: operations that read and write files, call
Python, print to a file, or come from a library that was loaded. What runs for a
signature is its function and those that it calls; these are held to a list. The other
functions of a SavedModel (of training, of saving) are only read, but TensorFlow may
evaluate what is not stateful in them when it works out shapes.
"""

import types
from collections.abc import Iterator, Mapping

from tensorflow.core.framework import function_pb2, graph_pb2, node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.framework import op_def_registry
from tensorflow.python.ops import (
    gen_array_ops,
    gen_bitwise_ops,
    gen_image_ops,
    gen_linalg_ops,
    gen_list_ops,
    gen_math_ops,
    gen_nn_ops,
    gen_random_ops,
    gen_spectral_ops,
    gen_stateless_random_ops,
    gen_stateless_random_ops_v2,
    gen_string_ops,
)

# TensorFlow's groups of operations that take tensors and give tensors.
_COMPUTING = (
    gen_array_ops, gen_bitwise_ops, gen_image_ops, gen_linalg_ops, gen_list_ops,
    gen_math_ops, gen_nn_ops, gen_random_ops, gen_spectral_ops,
    gen_stateless_random_ops, gen_stateless_random_ops_v2,
)  # fmt: skip
# What is none of that in these groups: it maps a file into memory, or changes state.
_EXCEPTIONS = {'ImmutableConst', 'ResourceStridedSliceAssign'}
# Calls, branches, loops, and variables that are read. Assert stops with a message.
_CONTROL = {
    'Assert', 'Case', 'ControlTrigger', 'DeviceIndex', 'DisableCopyOnRead', 'Enter',
    'Exit', 'FakeParam', 'If', 'LoopCond', 'Merge', 'NextIteration', 'NoOp',
    'PartitionedCall', 'ReadVariableOp', 'ResourceGather', 'ResourceGatherNd',
    'StatefulPartitionedCall', 'StatelessCase', 'StatelessIf', 'StatelessWhile',
    'Switch', 'ToBool', 'VarHandleOp', 'VariableShape', 'While',
}  # fmt: skip
# What changes a variable: what it holds, or the state of random numbers.
CHANGES = (
    'AssignVariableOp', 'AssignAddVariableOp', 'AssignSubVariableOp', 'RngReadAndSkip',
    'RngSkip',
)  # fmt: skip
# Not stateful, and in the function that saved the variables.
_SAVING = {'ShardedFilename'}


def _names(group: types.ModuleType) -> set[str]:
    return {name for name in vars(group) if op_def_registry.get(name)}


def computing() -> set[str]:
    """Operations that a signature may run."""
    groups = set().union(*map(_names, _COMPUTING))
    return (groups - _EXCEPTIONS) | _CONTROL


def refused(graph: meta_graph_pb2.MetaGraphDef, function: str) -> list[str]:
    """Operations of a SavedModel that may do more than compute, sorted.

    Args:
        graph: of a SavedModel.
        function: name in its library of the function that is to run.
    """
    library = graph.graph_def.library.function
    functions = {each.signature.name: each for each in library}
    allowed = computing() | set(functions)
    found = {node.op for node in _run(function, functions)} - allowed
    # TensorFlow could take either for the other.
    found |= {name for name in functions if op_def_registry.get(name)}
    read_only = allowed | _names(gen_string_ops) | _SAVING
    for node in _all_nodes(graph.graph_def):
        known = op_def_registry.get(node.op)
        if node.op not in read_only and not (known and known.is_stateful):
            found.add(node.op)
    return sorted(found)


def unlisted(graph: graph_pb2.GraphDef) -> list[str]:
    """Operations of a function's graph, and of its library, that are not computing."""
    own = {each.signature.name for each in graph.library.function}
    return sorted({node.op for node in _all_nodes(graph)} - computing() - own)


def _all_nodes(graph: graph_pb2.GraphDef) -> Iterator[node_def_pb2.NodeDef]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _run(
    function: str, functions: Mapping[str, function_pb2.FunctionDef]
) -> Iterator[node_def_pb2.NodeDef]:
    """All nodes of a function and of those that it may call."""
    entered, called = set[str](), [function]
    while called:
        name = called.pop()
        if name in entered or name not in functions:
            continue
        entered.add(name)
        for node in functions[name].node_def:
            yield node
            called.extend(_called(node))


def _called(node: node_def_pb2.NodeDef) -> Iterator[str]:
    """Functions that a node may call; a function's name may stand for an operation."""
    yield node.op
    for value in node.attr.values():
        if value.HasField('func'):
            yield value.func.name
        for function in value.list.func:
            yield function.name

import collections
import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from tensorflow.python.framework import ops

from tests.conftest import ROOT
from tests.support.logistic import (
    ITERATIVE,
    L2S,
    Reference,
    allowed,
    assert_binary_solved,
    assert_solved,
    features,
    present,
)
from tfxfer import logreg
from tfxfer.logreg import backends, conjugate_gradients, device
from tfxfer.logreg.problem import prepare
from tfxfer.logreg.regularization_path import solutions
from tfxfer.logreg.state import NewtonEquation, State

CPU = '/CPU:0'
# 20 images of 4 classes in a block of the host's, four times as many on the device.
IN_BLOCKS = dataclasses.replace(
    ITERATIVE, block_size=20 * 16 * 4, device_block_size=80 * 16
)
LIMITS = {'exact': logreg.Limits(), 'iterative': ITERATIVE, 'blocks': IN_BLOCKS}


def work(n, d, k):
    """Bytes that are kept free of features."""
    return 4 * device.WORK_ARRAYS * k * (n + 2 * d) + 24 * d * d


def backend(features_there=None, shape=(300, 12, 4)):
    """A device with room for so many bytes of features; None: for all."""
    if features_there is None:
        return device.TensorFlow(CPU)
    return device.TensorFlow(CPU, memory=work(*shape) + features_there)


@pytest.mark.slow
def test_every_l2_of_the_protocol_is_solved():
    x, y = features(300, 12, 4, apart=0.5)
    assert_solved(x, y, 4, L2S, ITERATIVE, backend())


@pytest.mark.parametrize('limits', LIMITS)
def test_l2s_are_solved(limits):
    x, y = features(300, 12, 4, apart=0.5)
    assert_solved(x, y, 4, [100, 30, 1], LIMITS[limits], backend())


def test_fewer_images_than_features_are_solved():
    x, y = features(60, 90, 4, apart=4)
    assert_solved(x, y, 4, [100, 30, 1], ITERATIVE, backend())


@pytest.mark.slow
@pytest.mark.parametrize('room', [0, 20 * 4 * 14 * 4])
def test_features_that_do_not_fit_are_streamed_and_every_l2_is_solved(room):
    x, y = features(300, 12, 4, apart=0.5)
    problem = prepare(x, y, 4, IN_BLOCKS, backend(room))
    streamed = [isinstance(block, np.ndarray) for block in problem.blocks]
    assert any(streamed) and all(streamed) == (room == 0)
    assert_solved(x, y, 4, [100, 30, 10], IN_BLOCKS, backend(room))


@pytest.mark.parametrize('limits', LIMITS)
def test_multi_label_is_one_binary_problem_per_class_on_its_labelled_images(limits):
    x, y = features(150, 20, 2, apart=1)[0], present(150, 4)
    trace = []
    problem = prepare(x, y, 4, LIMITS[limits], backend())
    assert_binary_solved(x, y, solutions(problem, [10, 1e-2], trace))
    assert all(entry['solved'] for entry in trace)


@pytest.mark.parametrize('multi_label', [False, True])
def test_in_float64_the_way_to_the_solution_is_numpys(multi_label):
    x, y = features(300, 12, 4, apart=0.5)
    y = present(300, 4) if multi_label else y
    limits = dataclasses.replace(logreg.Limits(), exact_unknowns=0)
    traces, weights = [], []
    for one in (backends.NumPy(), backend()):
        traces.append([])
        path = solutions(prepare(x, y, 4, limits, one), L2S[::6], traces[-1])
        weights.append(np.stack([w for _, w in path]))
    np.testing.assert_allclose(*weights, rtol=1e-4, atol=1e-6 * np.abs(weights).max())
    for here, there in zip(*traces, strict=True):
        assert there['iterations'] == here['iterations']
        assert there['objective'] == pytest.approx(here['objective'], rel=1e-9)
        assert there['gap'] == pytest.approx(here['gap'], rel=0.01)


@pytest.mark.slow
def test_features_of_very_different_scales_are_solved_with_the_full_hessian():
    x, y = features(200, 20, 12, apart=0.5)
    x *= np.logspace(-2, 2, 20, dtype=np.float32)
    assert_solved(x, y, 12, L2S[::8], logreg.Limits(exact_unknowns=0), backend())


@pytest.mark.parametrize('multi_label', [False, True])
@pytest.mark.parametrize('blocks', [1, 4])
def test_hessian_and_plane_are_numpys(multi_label, blocks):
    x, y = features(100, 5, 3, apart=0.5)
    y = present(100, 3) if multi_label else y
    limits = logreg.Limits(float64_size=1e9, block_size=48 * 100 // blocks)
    limits = dataclasses.replace(limits, device_block_size=limits.block_size)
    v = np.random.default_rng(0).standard_normal((3, 3, 6))
    hessians, planes = [], []
    for one in (backends.NumPy(), backend()):
        problem = prepare(x, y, 3, limits, one)
        # Eigenvectors have no sign of their own.
        basis = problem.rotate_back(np.eye(5)).T
        points = [
            problem.evaluate(np.hstack([w[:, :1], w[:, 1:] @ basis]))[0] for w in v
        ]
        moves = [problem.difference(point, points[0]) for point in points[1:]]
        planes.append(problem.plane_derivatives(points[0], moves, 2.0))
        turn = np.eye(6)
        turn[1:, 1:] = basis
        turn = turn if multi_label else np.kron(np.eye(3), turn)
        hessians.append(turn @ problem.hessian(points[0]) @ turn.T)
    np.testing.assert_allclose(*hessians, atol=1e-9 * np.abs(hessians).max())
    for here, there in zip(*planes, strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-9, atol=1e-12)


def looks(monkeypatch, work):
    """How often a tensor becomes an array of NumPy's in work(), by its shape."""
    count, numpy = collections.Counter(), ops._EagerTensorBase._numpy

    def counted(tensor):
        count[tuple(tensor.shape)] += 1
        return numpy(tensor)

    with monkeypatch.context() as patched:
        patched.setattr(ops._EagerTensorBase, '_numpy', counted)
        # Or NumPy would read a tensor of the CPU where it lies.
        patched.setattr(np, 'asarray', None)
        work()
    return count


def equation_at_random(multi_label):
    x, y = features(200, 10, 3, apart=0.5)
    y = present(200, 3) if multi_label else y
    problem = prepare(x, y, 3, ITERATIVE, backend())
    b = np.random.default_rng(0).standard_normal((3, problem.width))
    point, gradient = problem.evaluate(b)
    penalty = problem.penalty(2.0)
    return problem, NewtonEquation(point, gradient + penalty * point.b, penalty)


@pytest.mark.parametrize('multi_label', [False, True])
def test_an_iteration_of_conjugate_gradients_looks_at_four_scalars_per_problem(
    monkeypatch, multi_label
):
    problem, equation = equation_at_random(multi_label)
    state, goal = State(exact=False), np.full((problem.problems, 1), 1e-9)
    precondition = conjugate_gradients.preconditioner(problem, equation)
    count = looks(
        monkeypatch,
        lambda: conjugate_gradients.inexact_step(
            problem, state, equation, precondition, goal
        ),
    )
    assert state.passes > 1
    assert count == {(problem.problems, 4): state.passes}


def test_an_l2_looks_at_scalars_and_once_per_step_at_k_by_k(monkeypatch):
    x, y = features(300, 12, 5, apart=0.5)
    problem, trace = prepare(x, y, 5, ITERATIVE, backend()), []
    count = looks(monkeypatch, lambda: list(solutions(problem, [100, 60, 40], trace)))
    # For w: b, and its product with the basis.
    assert count.pop((5, 16)) == count.pop((5, 12)) == 3
    # Slope and curvature along one move and two; [k, k] and the decrement of a step;
    # loss and squares of a point; an iteration.
    assert set(count) == {(1, 2), (1, 5), (5, 5), (1, 1), (1, 4)}
    assert count[5, 5] < sum(entry['iterations'] for entry in trace) / 2


@pytest.mark.slow
def test_no_graph_computes_elsewhere_than_on_its_device():
    """With a second CPU for the device, as the first is where TensorFlow falls back."""
    code = (
        'import tensorflow as tf\n'
        'from tensorflow.python.eager import context\n'
        'cpu = tf.config.list_physical_devices("CPU")[0]\n'
        'two = [tf.config.LogicalDeviceConfiguration()] * 2\n'
        'tf.config.set_logical_device_configuration(cpu, two)\n'
        'from tests.support.logistic import ITERATIVE, features, present\n'
        'from tfxfer.logreg import device, problem, regularization_path\n'
        'x, y = features(300, 12, 4, apart=0.5)\n'
        'there = device.TensorFlow("/CPU:1")\n'
        'both = [\n'
        '    problem.prepare(x, labels, 4, ITERATIVE, there)\n'
        '    for labels in (y, present(300, 4))\n'
        ']\n'
        'context.enable_run_metadata()\n'
        'for prepared in both:\n'
        '    list(regularization_path.solutions(prepared, [100, 50]))\n'
        'graphs = context.export_run_metadata().partition_graphs\n'
        'nodes = [node for graph in graphs for node in graph.node]\n'
        'assert len(nodes) > 100\n'
        'assert all(node.device.endswith("CPU:1") for node in nodes)\n'
        'assert not {"_Send", "_Recv"} & {node.op for node in nodes}\n'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('streamed', [False, True])
def test_features_go_to_the_device_once_unless_they_do_not_fit(monkeypatch, streamed):
    x, y = features(300, 12, 4, apart=0.5)
    problem = prepare(x, y, 4, IN_BLOCKS, backend(0 if streamed else None))
    put, numbers, trace = device.TensorFlow.put, [], []

    def counted(self, array):
        numbers.append(array.size)
        return put(self, array)

    monkeypatch.setattr(device.TensorFlow, 'put', counted)
    list(solutions(problem, [100.0], trace))
    per_pass = 300 * problem.width * streamed
    assert sum(numbers) >= per_pass * trace[0]['iterations']
    assert sum(numbers) < (per_pass + 1500) * trace[0]['iterations']


def test_weights_without_a_penalty_to_speak_of_are_solved():
    x, y = features(300, 12, 4, apart=0.5)
    ((_, w),) = solutions(prepare(x, y, 4, ITERATIVE, backend()), [1e-6])
    f, minimum = logreg.loss_and_grad(w, x, y, 1e-6)[0], Reference(x, y).minimum(1e-6)
    assert f - minimum <= allowed(minimum, 300, 4)

"""Where TensorFlow computes: one device, all of this machine, all of TF_CONFIG.

TensorFlow is imported by the functions that need it: TF_CONFIG is read without.
"""

import json
import os
import typing

from tfxfer import errors

if typing.TYPE_CHECKING:
    import tensorflow as tf


def strategy() -> 'tf.distribute.Strategy':
    """All GPUs of all workers of TF_CONFIG, or of this machine, or the one device.

    With TF_CONFIG it must be called before TensorFlow does anything else, by every
    worker.
    """
    import tensorflow as tf

    if workers() > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_logical_devices('GPU')) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def workers() -> int:
    """How many processes train together, as TF_CONFIG says."""
    return len(_cluster().get('cluster', {}).get('worker', [0]))


def worker() -> int:
    """The number of this process among them; 0, the chief, writes the results.

    Raises:
        errors.InputError: TF_CONFIG is not what TensorFlow reads.
    """
    return _cluster().get('task', {}).get('index', 0)


def _cluster():
    """TF_CONFIG, checked; {} where it is not set."""
    text = os.environ.get('TF_CONFIG') or '{}'
    try:
        cluster = json.loads(text)
    except (ValueError, RecursionError):
        cluster = None
    if isinstance(cluster, dict) and cluster.get('cluster', {}) == {}:
        return {}  # Some services set it for single processes, too.
    if _sound(cluster):
        return cluster
    raise errors.InputError(
        'TF_CONFIG must be JSON that names workers alone and, for each, its own number '
        'from 0 on, {"cluster": {"worker": ["host:port", ...]}, "task": {"type": '
        f'"worker", "index": 0}}}}; worker 0 is the chief. Got {text}.'
    )


def _sound(cluster):
    """Whether it is a cluster of workers, and the task one of them."""
    if not isinstance(cluster, dict):
        return False
    jobs, task = cluster.get('cluster'), cluster.get('task')
    if not isinstance(jobs, dict) or not isinstance(task, dict):
        return False
    hosts, index = jobs.get('worker'), task.get('index')
    return (
        jobs.keys() == {'worker'}
        and isinstance(hosts, list)
        and all(isinstance(host, str) for host in hosts)
        and task.get('type', 'worker') == 'worker'
        and type(index) is int  # "0" is another worker than 0 to who compares them.
        and 0 <= index < len(hosts)
    )


def sum_over_replicas(devices: 'tf.distribute.Strategy', number: float) -> float:
    """The sum over all replicas of each worker's number; waits for all of them."""
    import tensorflow as tf

    @tf.function(autograph=False)
    def summed(number):
        def replica():
            context = tf.distribute.get_replica_context()
            return context.all_reduce('SUM', tf.identity(number))

        return devices.experimental_local_results(devices.run(replica))[0]

    return float(summed(tf.constant(number, tf.float32)))


def wait_for_all(devices: 'tf.distribute.Strategy') -> None:
    """Returns when every worker has come here; of one worker, at once."""
    if workers() > 1:
        sum_over_replicas(devices, 0)

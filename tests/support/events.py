"""TensorBoard's event files, read back."""

import tensorflow as tf


def accumulated(folder):
    """The event files of one folder."""
    from tensorboard.backend.event_processing import event_accumulator

    found = event_accumulator.EventAccumulator(
        str(folder), size_guidance={'tensors': 0}
    )
    found.Reload()
    return found


def scalars(folder):
    """{tag: {step: value}} of the event files in a folder."""
    events = accumulated(folder)
    return {
        tag: {
            e.step: float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)
        }
        for tag in events.Tags()['tensors']
    }

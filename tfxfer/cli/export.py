"""Makes a SavedModel of a final Run: JPEG or PNG bytes -> class probabilities.

    python -m tfxfer.export --run=runs/RUN_ID --output=my_model

The model holds network, classifier, preprocessing and class names, and needs TensorFlow
alone. Beside it stand MODEL_CARD.md and model_card.json: what it is, how it was
measured, how to call it. --tflite adds model.tflite and labels.txt, for phones. Each
model is loaded again and compared with the Run's stored predictions before success is
reported; nothing is written otherwise.

It computes in float32. Where the Run's features were rounded to less (precision or
feature_dtype), the network is scored again on all test images, and the card says both.
"""

from absl import flags, logging

from tfxfer import errors, path_patterns
from tfxfer.cli import app


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.string('run', None, 'Folder of a final Run.')
    define.string('output', None, 'Folder for the SavedModel; new.')
    define.boolean('tflite', False, 'Writes model.tflite too.')
    define.checkpoints()
    define.data()
    define.trust()
    return define.given


def main(given: app.Given) -> None:
    if not given.run or not given.output:
        raise errors.InputError('Say which Run and where to: --run=DIR --output=DIR')
    path_patterns.refuse(given.output)
    from tfxfer.transfer import environment

    environment.check_keras()
    from tfxfer.export import saved_model  # TensorFlow.

    difference = saved_model.export(
        given.run,
        given.output,
        checkpoints=given.checkpoints,
        data=given.data,
        tflite=given.tflite,
        trust=given.trust,
    )
    logging.info("Its probabilities equal the network's to %.1e.", difference)
    print(given.output)

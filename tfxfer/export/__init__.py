"""A Run's model handed over: SavedModel, TensorFlow Lite, model card, predictions."""

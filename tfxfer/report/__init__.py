"""Tables, figures and one self-contained page of a results folder. No TensorFlow."""

from tfxfer.report.build import summary, write

__all__ = ['summary', 'write']

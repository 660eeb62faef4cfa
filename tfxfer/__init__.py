"""Which ImageNet network transfers best to my images, how, and how sure is that?"""

__version__ = '0.1.0'

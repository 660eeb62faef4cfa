"""How Runs are carried out on this machine; none of it is part of what is measured."""

import dataclasses
import pathlib

from tfxfer.data.cache_options import CacheOptions
from tfxfer.training.options import Options


@dataclasses.dataclass(frozen=True)
class ExecutionOptions:
    """Folders, and how training goes about it.

    Attributes:
        workdir: folder of all Runs' folders.
        checkpoints: folder of TF-Slim checkpoints, for weights='slim'; None: the
            environment variable weight_files.ENV.
        trust: run code that model files hold.
        gpu_memory: share of the memory of each GPU that the process takes at most; 1:
            as much as it needs.
        data: folder of prepared datasets; None: see image_set.Options.
        training: when training saves and validates; None: the defaults.
        image_cache: which training images are cached, and where; None: none.
        probes: names of datasets on which a network that is being trained is probed
            for TensorBoard, every training.probe_every steps; NAME@N takes N images
            per class. See probe.py.
    """

    workdir: str | pathlib.Path = 'runs'
    checkpoints: str | pathlib.Path | None = None
    data: str | pathlib.Path | None = None
    training: Options | None = None
    image_cache: CacheOptions | None = None
    probes: tuple[str, ...] = ()
    trust: bool = False
    gpu_memory: float = 1.0

    @property
    def cache(self) -> pathlib.Path:
        """Folder of what is computed once for all Runs of the workdir."""
        return pathlib.Path(self.workdir) / 'cache'

    @property
    def rates(self) -> pathlib.Path:
        """File of how fast networks were found to be."""
        return self.cache / 'rates.json'

"""How a training is carried out. No TensorFlow."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Options:
    """How training is carried out; none of it is part of what is measured.

    Attributes:
        save_every: steps between checkpoints; None: by the clock alone.
        save_minutes: minutes between checkpoints; 0: by steps alone.
        valid_every: steps between validations that TensorBoard shows.
        probe_every: steps between the probes of a network that is being trained.
        profile: (first, last) step of a profile for TensorBoard, or None.
        jit_compile: steps by XLA; None: where it pays, see compilation.choose. XLA
            rounds differently, so records say it.
    """

    save_every: int | None = None
    save_minutes: float = 10.0
    valid_every: int = 2000
    probe_every: int = 2000
    profile: tuple[int, int] | None = None
    jit_compile: bool | None = None

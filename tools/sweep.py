"""Runs a study: every network x task x setting, with tables and a report at the end.

    python -m tools.sweep --config=configs/quickstart.py --workdir=runs/quickstart

Axes are narrowed by flags: --config.archs=mobilenet_v1,mobilenet_v2. Stopped at any
moment, the same command goes on where it was; what is done is not done again. --plan
says what a study would take, --status how one stands.

On several machines that share the workdir, start the same command on each, as
--shard=0/16, --shard=1/16 and so on; or once with --ray_address of a Ray cluster.
"""

from tools import studies

if __name__ == '__main__':
    studies.program()

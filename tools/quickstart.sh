#!/usr/bin/env bash
# Installs tfxfer into .venv if need be and runs the first experiment,
# configs/quickstart.py. Needs Python and its venv module, nothing else.
#
#   bash tools/quickstart.sh [flags of tools/sweep.py]
#   PYTHON=/path/to/python3.12 bash tools/quickstart.sh
#
# Paths are taken from the project's root, wherever it is called from.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
# shellcheck source=tools/setup_venv.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup_venv.sh"
need tools/sweep.py configs/quickstart.py
setup_venv
exec "$python" -m tools.sweep --config=configs/quickstart.py \
  --workdir=runs/quickstart "$@"

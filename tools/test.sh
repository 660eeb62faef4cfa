#!/usr/bin/env bash
# Installs tfxfer into .venv if need be, checks style and types, and runs the tests.
#
#   bash tools/test.sh [arguments of pytest]
#   bash tools/test.sh --slow   the slow tests too, as with CI=true
#   bash tools/test.sh --all    every test: the exhaustive ones take an hour more
#
# Paths are taken from the project's root, wherever it is called from.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
more=
[ "${CI:-false}" = true ] && more='slow and not exhaustive'
case ${1:-} in
  --slow) more='slow and not exhaustive' && shift ;;
  --all) more='slow or exhaustive' && shift ;;
esac
# shellcheck source=tools/setup_venv.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup_venv.sh"
need tests
setup_venv
"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy
# Most of a test is one thread's work; networks at full size want 2 GB each.
tests() {
  "$python" -m pytest -n auto --maxprocesses=4 --dist=worksteal \
    --durations=30 --durations-min=20 "$@"
}
tests "$@"
if [ -n "$more" ]; then
  # Status 5: the arguments select no such test.
  tests -m "$more" "$@" || { status=$?; [ $status = 5 ] || exit $status; }
fi

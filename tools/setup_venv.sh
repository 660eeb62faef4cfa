# shellcheck shell=bash
# Sourced by quickstart.sh and test.sh, in bash with `set -euo pipefail`. Goes to the
# project's root; setup_venv makes or completes .venv there and sets $python to
# its interpreter. What is missing is said at once, not after minutes of install.

# As python_requires in setup.cfg says.
versions='3.11 3.12 3.13'
# At the peak of an install: 3.8 GB installed and 1.3 GB of downloads.
gigabytes=5

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
python=$PWD/.venv/bin/python

# TensorFlow's errors only; without a GPU one of them is that CUDA does not start.
level=2
command -v nvidia-smi >/dev/null || level=3
export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-$level}"
# A user's own defaults for other programs would give another Keras.
export KERAS_BACKEND=tensorflow
unset TF_USE_LEGACY_KERAS

die() {
  printf '%s\n' "$@" >&2
  exit 2
}

# need PATH...: stops unless the project has each of them.
need() {
  local path
  for path in "$@"; do
    [ -e "$path" ] || die "$PWD has no $path. Run the script inside a complete copy \
of the project, such as a fresh git clone."
  done
}

# probe PYTHON: prints its version; fails if it cannot make a virtual environment.
probe() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2]); import ensurepip, venv' \
    2>/dev/null
}

fits() {
  case " $versions " in *" $1 "*) true ;; *) false ;; esac
}

# Sets $base to the Python that .venv is made of.
find_base() {
  local name version bare='' unfit=''
  local names=(python3.11 python3.12 python3.13 python3 python)
  [ -z "${PYTHON:-}" ] || names=("$PYTHON")
  for name in "${names[@]}"; do
    command -v "$name" >/dev/null || continue
    if version=$(probe "$name") && fits "$version"; then
      base=$name
      return
    fi
    # Some installations put a stub on PATH for every Python they know of.
    [ -n "$version" ] || continue
    if fits "$version"; then
      bare=${bare:-$version at $(command -v "$name")}
    else
      unfit=${unfit:-$version at $(command -v "$name")}
    fi
  done
  local fitting="tfxfer needs Python ${versions// / or }"
  [ -z "$bare" ] || die "Python $bare has no venv and ensurepip modules. Install \
them (Debian and Ubuntu: apt install python3-venv python${bare%% *}-venv) or name \
another Python: PYTHON=/path/to/python bash $0"
  [ -z "$unfit" ] || die "$fitting; found was $unfit. Install one that fits or name \
it: PYTHON=/path/to/python3.12 bash $0"
  die "$fitting; ${PYTHON:-$(printf '%s, ' "${names[@]}" | sed 's/, $//')}: none is a \
Python that starts. Install one (Debian and Ubuntu: apt install python3 python3-venv) \
or name it: PYTHON=/path/to/python3.12 bash $0"
}

# Stops unless the disk has room for what is not installed yet.
check_space() {
  local free held=0 folder=.
  [ ! -d .venv ] || folder=.venv/
  free=$(df -Pk $folder | awk 'NR == 2 { print $4 }')
  [ "$free" -lt $((gigabytes << 20)) ] || return 0
  [ ! -d .venv ] || held=$(du -sk .venv/ | cut -f 1)
  [ $((free + held)) -ge $((gigabytes << 20)) ] || die "The install needs about \
$gigabytes GB in $PWD; $(awk "BEGIN { printf \"%.1f\", $free / 2^20 }") GB are free. \
Make room, or put the project on another disk."
}

# What .venv/installed holds when the install is complete and up to date.
wanted() {
  pwd
  cksum setup.cfg pyproject.toml tools/constraints.txt tools/setup_venv.sh
}

installed() {
  [ -f .venv/installed ] && [ "$(cat .venv/installed)" = "$(wanted)" ] &&
    "$python" -c '' 2>/dev/null
}

# A pip that ended while it laid out packages may leave some that look complete and are
# not; one that ended earlier leaves nothing.
damaged() {
  [ ! -x "$python" ] || ! "$python" -c '' 2>/dev/null || { [ -e .venv/installing ] &&
    { [ ! -e .venv/install.log ] ||
      grep -q '^Installing collected packages' .venv/install.log; }; }
}

install() {
  # Compiled at once: where PYTHONDONTWRITEBYTECODE is set, as in many containers, Python
  # keeps nothing that it compiles later, and each import of TensorFlow takes 30 s.
  "$python" -m pip install --compile --disable-pip-version-check --no-input \
    --progress-bar=off \
    --constraint=tools/constraints.txt --editable '.[test]'
}

make_venv() {
  local base=$python stamp
  stamp=$(wanted)
  if [ -d .venv ] && damaged; then
    echo "$PWD/.venv is not complete: it is made anew."
    rm -rf .venv
  fi
  if [ -d .venv ]; then
    fits "$(probe "$python")" || die "$PWD/.venv has Python $(probe "$python"); one of \
$versions is needed. Remove the folder: it is then made anew."
  else
    find_base
  fi
  check_space
  mkdir -p .venv
  touch .venv/installing
  rm -rf .venv/installed .venv/install.log .venv/tmp
  mkdir .venv/tmp
  echo "Installing into $PWD/.venv: about 4 minutes on a fast line, 3.8 GB on disk" \
    "(progress: .venv/install.log)."
  [ "$base" = "$python" ] || "$base" -m venv .venv
  # Downloads go to the disk whose space was checked; /tmp can be a small one.
  if ! (export TMPDIR="$PWD/.venv/tmp" && install) >.venv/install.log 2>&1; then
    tail -n 15 .venv/install.log >&2
    # pip itself then speaks of conflicting versions.
    ! grep -q 'connection broken' .venv/install.log || die "pip could not reach its \
package index: check the network and pip's own settings (pip config list). The whole \
log is $PWD/.venv/install.log."
    die "The install failed; the whole log is $PWD/.venv/install.log. Run the script \
again when the cause is gone."
  fi
  rm -rf .venv/tmp .venv/installing
  echo "$stamp" >.venv/installed
  echo "Installed in $SECONDS s."
}

setup_venv() {
  local base
  need setup.cfg pyproject.toml tools/constraints.txt tfxfer/__init__.py
  if [ -n "${PYTHON:-}" ] && [ -x "$python" ]; then
    find_base
    [ "$(probe "$base")" = "$(probe "$python")" ] || die "$PWD/.venv has Python \
$(probe "$python"), but PYTHON=$PYTHON is $(probe "$PYTHON"). Remove the folder: it \
is then made with that one."
  fi
  ! installed || return 0
  (
    # The lock is on the open folder, so a script that dies does not leave it behind.
    if command -v flock >/dev/null && ! flock -n 9; then
      echo "Another install into $PWD/.venv is running: waiting for it."
      flock 9
    fi
    installed || make_venv
  ) 9<.
}

#!/usr/bin/env bash
# Makes .venv with everything that a stack's lock names: tools/setup_venv.sh [PYTHON]
#
# STACK=card takes requirements.txt (Python 3.10 or 3.11), STACK=current requirements-current.txt
# (3.10 to 3.13); unset, 3.10 and 3.11 get the card's stack, newer ones the current one. VENV names
# another folder. Where no Python fits, a uv from pip, in a throw-away environment, fetches one.
#
# Does nothing where .venv already holds just that. .venv/requirements.installed, a copy of the
# lock written last of all, marks a whole installation: without it .venv is made anew.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=${VENV:-.venv}
stack=${STACK:-}
stamp=$venv/requirements.installed
fetcher=$venv-uv
named=${1:-}
PATH=${PATH//"$PWD/$venv/bin:"/} # an active .venv must not be remade by its own Python

die() {
  echo "setup: $1" >&2
  exit 1
}

version_of() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }

lock_of() { [ "$1" = current ] && echo requirements-current.txt || echo requirements.txt; }

# Prints the stack that is meant on a Python VERSION; nothing where it does not fit.
stack_for() {
  case $stack:$1 in
    :3.1[01].* | card:3.1[01].*) echo card ;;
    :3.1[23].* | current:3.1[0-3].*) echo current ;;
  esac
}

# Prints why PYTHON cannot make the environment; nothing where it can.
fault_of() {
  local version
  # A version manager leaves names on the PATH that stand for nothing: only running one tells.
  version=$(version_of "$1") || { echo "$1 does not run"; return; }
  [ -n "$(stack_for "$version")" ] || { echo "$1 is Python $version"; return; }
  has_venv "$1" ||
    echo "$1 lacks venv (on Debian or Ubuntu: apt-get install python${version%.*}-venv)"
}

has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Sets `python` to the first usable one, or leaves it empty: `faults` says why, and `spare` is one
# that can at least install uv.
find_python() {
  local candidate fault
  python='' spare='' faults=''
  for candidate in python3 python3.11 python3.10 python3.13 python3.12 python; do
    command -v "$candidate" >/dev/null || continue
    fault=$(fault_of "$candidate")
    [ -n "$fault" ] || { python=$candidate; return; }
    faults+="$fault; "
    [ -n "$spare" ] || ! has_venv "$candidate" || spare=$candidate
  done
}

is_complete() {
  local version kind
  version=$(version_of "$venv/bin/python") || return 1
  [ -z "$named" ] || [ "$version" = "$(version_of "$named")" ] || return 1
  for kind in ${stack:-card current}; do
    ! cmp -s "$(lock_of "$kind")" "$stamp" || return 0
  done
  return 1
}

# Runs a command in the background, so that an interrupt can end it at once, and prints dots.
work() {
  "$@" >"$venv-log" 2>&1 </dev/null &
  worker=$!
  while kill -0 "$worker" 2>/dev/null; do
    printf .
    sleep 1
  done
  echo
  wait "$worker"
}

# A uv, from the PATH or from pip, and the Python that it fetches.
fetch_python() {
  local uv=uv
  command -v uv >/dev/null || {
    uv=$fetcher/bin/uv
    [ -n "$spare" ] || return 1
    echo "No fitting Python here: getting uv, which fetches one"
    work "$spare" -m venv "$fetcher" || return 1
    work "$fetcher/bin/python" -m pip install --quiet --disable-pip-version-check uv || return 1
  }
  [ "$stack" = current ] && version=3.13 || version=3.11
  echo "Making $venv with a Python $version from uv: 2.3 GB on disk, a few minutes"
  work "$uv" venv --quiet --seed --python "$version" "$venv"
}

clean_up() {
  if [ -n "$worker" ]; then
    kill "$worker" 2>/dev/null || true # it may have ended by itself
    wait "$worker" 2>/dev/null || true
  fi
  rm -rf "$fetcher" "$venv-log"
  cmp -s "$lock" "$stamp" || rm -rf "$venv"
}

case $stack in
  '' | card | current) ;;
  *) die "STACK=$stack is neither card (TensorFlow 2.15) nor current (TensorFlow 2.21)" ;;
esac
wanted='Python 3.10 to 3.13'
[ "$stack" != card ] || wanted='Python 3.10 or 3.11, for STACK=card,'
needed="$wanted is needed; name one: make demo PYTHON=python3.11"
if [ -n "$named" ]; then
  fault=$(fault_of "$named")
  [ -z "$fault" ] || die "$fault; $needed"
fi
! is_complete || exit 0

worker='' lock=/dev/null
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
rm -rf "$venv"
if [ -n "$named" ]; then python=$named; else find_python; fi
if [ -n "$python" ]; then
  version=$(version_of "$python")
  echo "Making $venv with $python (Python $version): 2.3 GB on disk, a few minutes"
  "$python" -m venv "$venv" || die "$python could not make $venv; its words are above"
else
  fetch_python || die "${faults:-no Python found; }no uv could fetch another; $needed"
fi
version=$(version_of "$venv/bin/python")
lock=$(lock_of "$(stack_for "$version")")
# A lock is complete: there is nothing for pip to search.
work "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
  --requirement "$lock" ||
  { cat "$venv-log" >&2; die "$lock did not install; pip's words are above"; }
# The package itself, as these sources: an image installs what it needs before it has them.
[ ! -e pyproject.toml ] || work "$venv/bin/python" -m pip install --quiet \
  --disable-pip-version-check --no-deps --no-build-isolation --editable . ||
  { cat "$venv-log" >&2; die "this package did not install; pip's words are above"; }
cp "$lock" "$stamp"

#!/usr/bin/env bash
# Makes .venv with everything that requirements.txt names: tools/setup_venv.sh [PYTHON]
#
# Does nothing where .venv already holds just that. .venv/requirements.installed, a copy of the
# requirements written last of all, marks a whole installation: without it .venv is made anew.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=.venv
stamp=$venv/requirements.installed
named=${1:-}
PATH=${PATH//"$PWD/$venv/bin:"/} # an active .venv must not be remade by its own Python

die() {
  echo "setup: $1" >&2
  exit 1
}

version_of() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }

# Prints why PYTHON cannot make the environment; nothing where it can.
fault_of() {
  local version
  # A version manager leaves names on the PATH that stand for nothing: only running one tells.
  version=$(version_of "$1") || { echo "$1 does not run"; return; }
  case $version in
    3.10.* | 3.11.*) ;;
    *) echo "$1 is Python $version"; return ;;
  esac
  "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
    echo "$1 lacks venv (on Debian or Ubuntu: apt-get install python${version%.*}-venv)"
}

# Sets `python` to the first usable one, or leaves it empty and `faults` says why.
find_python() {
  local candidate fault
  python='' faults=''
  for candidate in python3.11 python3.10 python3 python; do
    command -v "$candidate" >/dev/null || continue
    fault=$(fault_of "$candidate")
    [ -n "$fault" ] || { python=$candidate; return; }
    faults+="$fault; "
  done
}

is_complete() {
  cmp -s requirements.txt "$stamp" || return 1
  local version
  version=$(version_of "$venv/bin/python") || return 1
  [ -z "$named" ] || [ "$version" = "$(version_of "$named")" ]
}

make_venv() {
  if [ -n "$python" ]; then
    "$python" -m venv "$venv"
  else
    uv venv --quiet --seed --python 3.11 "$venv"
  fi
}

# pip works in the background, so that an interrupt can end it at once.
install_requirements() {
  local log=$venv/install.log
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --requirement requirements.txt >"$log" 2>&1 </dev/null &
  pip=$!
  while kill -0 "$pip" 2>/dev/null; do
    printf .
    sleep 1
  done
  echo
  wait "$pip" || { cat "$log" >&2; die "requirements.txt did not install; pip's words are above"; }
}

remove_incomplete() {
  if [ -n "$pip" ]; then
    kill "$pip" 2>/dev/null || true # it may have ended by itself
    wait "$pip" 2>/dev/null || true
  fi
  rm -rf "$venv"
}

needed='Python 3.10 or 3.11 is needed; name one: make demo PYTHON=python3.11'
if [ -n "$named" ]; then
  fault=$(fault_of "$named")
  [ -z "$fault" ] || die "$fault; $needed"
fi
is_complete && exit
if [ -n "$named" ]; then
  python=$named
else
  find_python
  [ -n "$python" ] || command -v uv >/dev/null || die "${faults:-no Python found; }$needed"
fi

pip=''
trap remove_incomplete EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
rm -rf "$venv"
echo "Making $venv with ${python:-a Python 3.11 from uv}: 2.3 GB on disk, a few minutes"
make_venv || die "${python:-uv} could not make $venv; its words are above"
install_requirements
cp requirements.txt "$stamp"
trap - EXIT

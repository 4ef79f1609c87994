#!/bin/sh
# The main job on the embedded defaults; called by `make demo`, which puts `codesign` on the PATH.
set -eu

say() { printf '\n$ %s\n' "$*"; "$@"; }

say codesign --help
say codesign models list

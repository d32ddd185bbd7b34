#!/usr/bin/env bash
# Sets up .venv-peers with the tools that benchmarks/point.py compares lossgrid with, and lossgrid's networks beside them.
#
#   benchmarks/peers.sh
#
# They need an environment of their own, as landscaper's dependencies hold NumPy at 1.26. What is already there is kept: a
# second call takes no time. Settings, from the environment:
#   LOSSGRID_TORCH   the torch to install (default torch==2.13.0, as in jobs/setup.sh: all contestants run the same one)
#   PYTHON           the interpreter to make .venv-peers with (default python3; landscaper wants 3.10 to 3.12)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

torch=${LOSSGRID_TORCH:-torch==2.13.0}
python=${PYTHON:-python3}
peers=(loss-landscapes==3.0.6 landscaper==1.3.1)
venv=.venv-peers

mark=$venv/.peers
wanted="$torch ${peers[*]}"
if [ -e "$mark" ] && [ ! pyproject.toml -nt "$mark" ] && [ "$(cat "$mark")" = "$wanted" ]; then
    exit 0
fi
printf 'peers: installing %s\n' "$wanted" >&2
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
# Torch first and alone: left to what depends on it, pip takes the newest one, with several GB of CUDA libraries.
"${pip[@]}" "$torch"
"${pip[@]}" "$torch" "${peers[@]}" --editable .
printf '%s\n' "$wanted" > "$mark"
printf 'peers: done: %s\n' "$venv" >&2

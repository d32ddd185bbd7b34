#!/usr/bin/env bash
# The steps of both recipes of a container, the Dockerfile and lossgrid.def, within it: lossgrid in /opt/lossgrid/.venv.
#
# jobs/setup.sh does the work, as on any Debian: Open MPI, parallel HDF5, h5py against them, PyTorch. It can be told
# another PyTorch by LOSSGRID_TORCH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

bash jobs/setup.sh digits,images
rm -rf /var/lib/apt/lists/* /root/.cache
# Anyone may run a container, and none of its users is the one who built it.
chmod -R a+rX .
.venv/bin/lossgrid check /tmp

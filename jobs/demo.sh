#!/usr/bin/env bash
# The whole of lossgrid in three minutes: trains a ResNet-32 with and without shortcuts on scikit-learn's digits, computes
# the surface around each under mpirun, and draws them side by side.
#
#   jobs/demo.sh [FOLDER]      where the results go (default demo)
#
# Sets up .venv first, where it is missing (some minutes, once). What is done is kept: started again, the demo goes on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash jobs/setup.sh
folder=${1:-demo}
mkdir -p "$folder"
export PATH="$PWD/.venv/bin:$PATH"
# mpirun refuses to work for root, as containers and new machines have it, unless told twice.
if [ "$(id -u)" -eq 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

surfaces=()
for model in resnet32 resnet32_noshort; do
    surface=$folder/$model.h5
    lossgrid train --model "$model" --data digits --epochs 10 --batch-size 64 --schedule onecycle --lr 0.03 \
        --out "$folder/$model"
    mpirun --oversubscribe -n 2 lossgrid run --model "$model" --checkpoint "$folder/$model/epoch_0010.pt" \
        --data digits --max-samples 500 --alpha -1:1:25 --beta -1:1:25 --out "$surface"
    lossgrid status "$surface"
    surfaces+=("$surface")
done
lossgrid plot "${surfaces[@]}" --label "with shortcuts" --label "without shortcuts" \
    --out "$folder/side_by_side.png" --overwrite
lossgrid plot "${surfaces[0]}" --kind surface --out "$folder/surface.png" --overwrite

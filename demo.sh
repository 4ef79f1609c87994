#!/bin/sh
# The main job on the embedded defaults; called by `make demo`, which puts `codesign` on the PATH.
# Calibrate the cost models on this machine, profile a model on it, price and search deployments of another on real
# accelerators, verify a front by measuring it here, and say where the reports are.
set -eu

out=runs/demo
mkdir -p "$out"

say() { printf '\n$ %s\n' "codesign $*"; codesign "$@"; }

say calibrate --seconds 15 --out "$out/this-cpu.overlay.yaml" --allow-busy --force
say profile llama-3.2-1b --layers 2 --device cpu --batch 1,4,16 --prompt 32 --time '6 s' --out "$out/profile" --force
say estimate llama-3.1-8b --target h100-sxm --batch 8 --prompt 2048 --generate 256
say search deployment llama-3.1-8b --target h100-sxm,h200-sxm,a100-80gb-sxm,l40s,l4 \
    --where 'ttft <= 0.5 s' --where 'tpot <= 50 ms' --out "$out/deployment" --force
say search deployment gpt2 --target "$out/this-cpu.yaml" --overlay "$out/this-cpu.overlay.yaml" --dtype fp32 \
    --prompt 64 --generate 16 --mode static --objectives latency,energy --batch 1,2,4,8 --replicas 1 --verify 2 \
    --out "$out/verified" --force

printf '\nOpen these in a browser:\n  %s\n  %s\n' "$out/deployment/report.html" "$out/verified/report.html"

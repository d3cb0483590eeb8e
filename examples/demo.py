"""PPO and WassersteinPPO side by side on a hilly grid: the demo of ``python -m sb3_wasserstein demo attract``, on any map."""

import argparse
from pathlib import Path

import torch as th

from sb3_wasserstein import envs
from sb3_wasserstein.demos import attract

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--timesteps", type=int, default=120_000)
parser.add_argument("--heights", default="deceptive", choices=list(envs.HEIGHT_MAPS))
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, default=Path("runs/demo"))
args = parser.parse_args()
th.set_num_threads(1)  # small networks: more threads only wait for each other
attract(args.out, args.timesteps, args.seed, args.heights)

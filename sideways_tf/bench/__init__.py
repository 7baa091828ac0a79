"""How fast the engines are: Table 2 of the paper, for this machine (tools/benchmark_speed.py)."""

"""The report: a run directory flows in, one self-contained HTML file flows out. It reads nothing else."""

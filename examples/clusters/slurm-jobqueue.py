"""A build whose workers are jobs of Slurm of their own, as many as the queue starts, by dask-jobqueue.

Run it on a machine that the workers can connect to, for the whole build. The arguments are those of `unicorn-hf build`:

    python slurm-jobqueue.py unicorn-1.2m --out /shared/unicorn
"""

import subprocess
import sys

from dask_jobqueue import SLURMCluster
from distributed import Security

if __name__ == "__main__":
    with SLURMCluster(
        queue="gpu",
        walltime="12:00:00",
        processes=1,
        cores=3,  # Threads of the worker: its partitions in flight.
        job_cpu=16,  # Cores that Slurm gives it.
        memory="128GB",
        job_extra_directives=["--gpus=4"],  # The recipe's engine.tensor_parallel_size.
        job_script_prologue=["export DASK_DISTRIBUTED__WORKER__DAEMON=False"],
        security=Security(),  # TLS, with the certificates of Dask's configuration.
    ) as cluster:
        cluster.adapt(minimum_jobs=1, maximum_jobs=8)
        build = ["unicorn-hf", "build", *sys.argv[1:], "--cluster", cluster.scheduler_address]
        raise SystemExit(subprocess.run(build).returncode)

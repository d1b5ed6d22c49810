#!/bin/bash
# A build as one job of Slurm: scheduler, build and workers. Each task of the job is a worker, and its GPUs hold one engine:
# --gpus-per-task is the recipe's engine.tensor_parallel_size. Submit it where `unicorn-hf` can be called, in a folder that all
# nodes share. The arguments after the script are those of `unicorn-hf build`:
#
#   sbatch --nodes 4 --ntasks-per-node 2 --gpus-per-task 4 --cpus-per-task 16 slurm.sh unicorn-1.2m --out unicorn
#
# Slurm starts the job again after a preemption, after the loss of a node, and at the time limit. The build then resumes.
#SBATCH --job-name=unicorn
#SBATCH --time=24:00:00
#SBATCH --mem=0
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
#SBATCH --open-mode=append
set -euo pipefail

# A folder that only the job's user can read, for the scheduler's address and a certificate of this job.
folder="$PWD/.unicorn-$SLURM_JOB_ID"
rm -rf "$folder"
mkdir -m 700 "$folder"
trap 'rm -rf "$folder"' EXIT
tls="$folder/tls.pem"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=dask \
    -keyout "$tls" -out "$tls" 2> "$folder/openssl.log" || { cat "$folder/openssl.log"; exit 1; }
export DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=True DASK_DISTRIBUTED__COMM__TLS__CA_FILE="$tls"
for role in SCHEDULER WORKER CLIENT; do
    export "DASK_DISTRIBUTED__COMM__TLS__${role}__CERT=$tls" "DASK_DISTRIBUTED__COMM__TLS__${role}__KEY=$tls"
done

# Warnings only, and no pages about the cluster, which others could open.
export DASK_LOGGING__DISTRIBUTED=warning
export DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES=[] DASK_DISTRIBUTED__WORKER__HTTP__ROUTES=[]

scheduler="$folder/scheduler.json"
dask scheduler --protocol tls --port 0 --no-dashboard --dashboard-address :0 --scheduler-file "$scheduler" &
until [ -s "$scheduler" ]; do
    kill -0 $!  # Ends the job if the scheduler does not start.
    sleep 1
done

# Workers may start processes: an engine is one. Three partitions in flight keep it busy.
export DASK_DISTRIBUTED__WORKER__DAEMON=False
srun --cpus-per-task "${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=0 --wait=0 \
    dask worker --scheduler-file "$scheduler" --nthreads 3 --memory-limit 0 --no-dashboard &

unicorn-hf build "$@" --cluster "$scheduler" &
build=$!
trap 'scontrol requeue "$SLURM_JOB_ID"' USR1  # Two minutes before the time limit.
wait "$build"

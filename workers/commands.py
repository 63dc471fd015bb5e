"""The command line's `worker`. What it runs is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from forgetcast.cli.lazy_group import imported

ANY_HARDWARE = "any"  # as in service.storage.jobs, which help does without


@click.command(epilog="Example: forgetcast worker --gpus all --hardware a100")
@click.option("--once", is_flag=True, help="Run one job, if one is waiting, and end.")
@click.option(
    "--hardware",
    multiple=True,
    default=(ANY_HARDWARE,),
    show_default=True,
    metavar="NAME",
    help=f"Hardware class of this machine; may be given several times. Jobs for `{ANY_HARDWARE}` are taken always.",
)
@click.option(
    "--gpus",
    default="any",
    show_default=True,
    metavar="WHICH",
    help="`all`, or some by index or UUID (0,1): one worker process each; `any`: one free GPU, or the CPU where there "
    "is none; `none`: the CPU.",
)
@click.option("--share-gpu", is_flag=True, help="Let other workers that say the same use the same GPU.")
@click.option(
    "--devices",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Devices that train on each job together: so many GPUs for one worker, or processes on the CPU.",
)
@click.option(
    "--poll",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0.1, 30),
    help="Seconds between two looks for work; at most one without Redis.",
)
@click.option(
    "--no-jobs",
    is_flag=True,
    help="Run no job; fit matrices and put back the jobs of dead workers. For where workers are started per job.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65535),
    help="Answer /metrics here, with several GPUs on the ports after it too; off by default.",
)
@click.option("--metrics-host", default="127.0.0.1", show_default=True, help="Address for --metrics-port.")
@click.option("--until-eof", is_flag=True, hidden=True, help="Stop at end of file on stdin: end with the parent.")
def worker(*, once: bool, no_jobs: bool, **wanted: Any) -> None:
    """Run a worker: it claims jobs, fine-tunes and measures. SIGTERM or Ctrl-C gives its job back and ends it."""
    if once and no_jobs:
        raise click.UsageError("--once runs one job and --no-jobs runs none; leave one of them out")
    imported("worker", "workers.host.running:run_worker")(once=once, no_jobs=no_jobs, **wanted)

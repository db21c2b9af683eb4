"""``neumeta prewarm``: a ladder of sizes, made ahead of time."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from neumeta_core.precision import PRECISIONS
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from neumeta_trainer.bulk_jobs import BulkJobs, JobView, MemberView
from neumeta_trainer.cli.options import error_console, expected_errors, out_console

_POLL_S = 0.3


def prewarm(
    url: Annotated[str, typer.Argument(metavar="URL", help="A running service, for example http://127.0.0.1:8080.")],
    model: Annotated[str, typer.Argument(metavar="MODEL")],
    compressions: Annotated[list[float], typer.Option("--compression", metavar="X", help="Repeatable.")],
    precisions: Annotated[list[str] | None, typer.Option("--precision", help=f"Repeatable: {', '.join(PRECISIONS)}. fp32 when left out.")] = None,
    token: Annotated[str | None, typer.Option("--token", envvar="NEUMETA_CLIENT_TOKEN", help="For a service that asks for one.")] = None,
) -> None:
    """Have a service make a ladder of sizes, every compression in every precision, before anybody asks for them.

    Ctrl-C cancels what has not begun. The exit code is 1 when a member could not be made.

    Example: neumeta prewarm http://127.0.0.1:8080 lenet-mnist --compression 0 --compression 0.5
    """
    with expected_errors(None), BulkJobs(url, token) as jobs:
        job = _follow(jobs, jobs.submit(model, compressions, precisions or ["fp32"]))
        out_console.print(_table(job))
        if job.state != "done":
            made = f"{job.counts.get('done', 0)} of {len(job.members)} members were made; the job is {escape(job.state)}."
            error_console.print(f"[red]error:[/red] {made}")
            raise typer.Exit(1)


def _follow(jobs: BulkJobs, job: JobView) -> JobView:
    """Wait until a job has ended."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=error_console, disable=not error_console.is_terminal) as bars:
        task = bars.add_task("members", total=len(job.members))
        try:
            while not job.is_finished:
                bars.update(task, completed=job.num_ended)
                time.sleep(_POLL_S)
                job = jobs.read(job)
            bars.update(task, completed=job.num_ended)
        except KeyboardInterrupt:
            left_out = jobs.cancel(job).counts.get("cancelled", 0)
            error_console.print(f"Cancelled: {left_out} of {len(job.members)} members are left out.")
            raise
    return job


def _table(job: JobView) -> Table:
    table = Table("compression", "precision", "state", "digest")
    for member in job.members:
        table.add_row(f"{member.compression:.4g}", Text(member.precision), Text(member.state), Text(_result(member)))
    return table


def _result(member: MemberView) -> str:
    if member.problem is not None:
        return "".join(filter(str.isprintable, f"{member.problem.code}: {member.problem.detail}"))
    return member.digest or ""

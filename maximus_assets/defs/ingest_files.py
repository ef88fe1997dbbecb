"""`python -m maximus_assets.defs.ingest_files FILE...`: take files of the user's own into the graph.

Each file is read once before anything else happens, so that a bad one is reported by file, row and column and leaves no
trace, not even a failed run. Then each becomes a partition of `imported_telemetry`, named after the file; a file of the
same name replaces it. The automation condition carries it on from there.

Exit codes: 0 ingested, 1 something failed on the way, 2 a file or an option is wrong and nothing was ingested.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.defs.automation import QUIET
from maximus_assets.defs.partitions import IMPORTED
from maximus_assets.defs.telemetry import ImportedFile

JOB = "import_file"


def parse(arguments: Sequence[str]) -> tuple[ImportedFile, ...]:
    """The files to read and how, from a command line."""
    parser = argparse.ArgumentParser(prog="python -m maximus_assets.defs.ingest_files", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--time-column")
    parser.add_argument("--timezone")
    parser.add_argument("--origin")
    parser.add_argument("--step")
    parser.add_argument("--value", action="append", default=[])
    parser.add_argument("--sensor", default="demand_count")
    said = vars(parser.parse_args(arguments))
    files: list[Path] = said.pop("files")
    return tuple(ImportedFile(path=str(path.resolve()), **said) for path in files)


def ingest(files: Sequence[ImportedFile], instance: dg.DagsterInstance) -> int:
    """Materialize one partition for each file, in this process.

    Args:
        files: Files that were read once already.
        instance: Where the runs are recorded.

    Returns:
        How many succeeded.
    """
    job = dg.load_from_defs_folder(path_within_project=Path(__file__).parent).resolve_job_def(JOB)
    done = 0
    for file in files:
        key = Path(file.path).name
        instance.add_dynamic_partitions(IMPORTED.name or "", [key])
        config = {**QUIET, "ops": {"imported_telemetry": {"config": file.model_dump(exclude_none=True)}}}
        result = job.execute_in_process(
            partition_key=key, run_config=config, instance=instance, raise_on_error=False
        )
        done += result.success
        sys.stdout.write(json.dumps({"file": file.path, "partition": key, "ingested": result.success}) + "\n")
    return done


def main(arguments: Sequence[str] | None = None) -> int:
    """Check every file, then ingest every file; see the module for the exit codes."""
    files = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        for file in files:
            file.read()
    except BadInputError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    with dg.DagsterInstance.get() as instance:
        return 0 if ingest(files, instance) == len(files) else 1


if __name__ == "__main__":
    sys.exit(main())

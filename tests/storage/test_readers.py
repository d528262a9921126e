"""U1: a reader sees the whole old file or the whole new file."""

from multiprocessing.context import ForkServerContext
from pathlib import Path

from tests.storage import projects, workers
from tests.storage.workers import Work


def watch(processes: ForkServerContext, project: Path, write: Work, versions: int) -> tuple[int, int, set[str]]:
    """One writer and four readers: number of reads, of those that did not parse, and files that never were."""
    stop = processes.Event()
    pipes = [processes.Pipe(duplex=False) for _ in range(4)]
    readers = [
        processes.Process(target=workers.read_versions, args=(theirs, str(project), stop)) for _, theirs in pipes
    ]
    for reader in readers:
        reader.start()
    try:
        written = set(workers.run(processes, write, str(project), versions))
    finally:
        stop.set()
    seen = [ours.recv() for ours, _ in pipes]
    for reader in readers:
        reader.join()
    for ours, theirs in pipes:
        ours.close()
        theirs.close()
    reads, broken, files = zip(*seen, strict=True)
    return sum(reads), sum(broken), set().union(*files) - written


def test_four_readers_never_see_anything_but_whole_files(tmp_path: Path, processes: ForkServerContext) -> None:
    project = projects.make(tmp_path / "project", shots=50, padding=400)
    reads, broken, never_written = watch(processes, project, workers.write_versions, 400)
    assert reads > 200
    assert not broken
    assert not never_written


def test_readers_of_an_in_place_writer_see_torn_files(tmp_path: Path, processes: ForkServerContext) -> None:
    project = projects.make(tmp_path / "project", shots=50, padding=400)
    _, broken, _ = watch(processes, project, workers.write_versions_in_place, 400)
    assert broken

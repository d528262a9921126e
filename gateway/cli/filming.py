"""What the commands of `shotline film` do."""

import os
import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

from gateway.cli import (
    connection,
    failures,
    film_document,
    film_reading,
    film_writing,
    render,
    render_film,
    story,
    terminal,
)
from gateway.cli.connection import Target
from gateway.cli.film_document import FilmAsset, FilmDocument, WrongFile
from gateway.cli.film_reading import FilmChanging
from gateway.cli.film_writing import Imported
from gateway.cli.graph import Graph
from services.kernel import ids
from services.kernel.faults import Code, Fault
from services.runtime.wire import MAX_MESSAGE

T = TypeVar("T")


def show_list(target: Target, workspace: str) -> None:
    """List the films of a workspace."""
    films = _ask(target, lambda graph: graph.films(workspace))
    if target.as_json:
        render.print_json({"films": [render_film.film_facts(film) for film in films]})
    else:
        render_film.print_films(films, workspace)


def show(target: Target, film_id: str) -> None:
    """Draw a film."""
    film = _ask(target, lambda graph: graph.film(film_id))
    if target.as_json:
        render.print_json(render_film.structure_facts(film))
    else:
        render_film.print_film(film)


def show_cost(target: Target, film_id: str) -> None:
    """Say what a film cost."""
    cost = _ask(target, lambda graph: graph.cost(film_id))
    if target.as_json:
        render.print_json({"film": cost.film_id, **film_reading.facts(cost)})
    else:
        render_film.print_cost(cost)


def select(target: Target, shot_id: str, take: str) -> None:
    """Select a take and say which one it is."""
    if take != "-" and not take.isdecimal():
        _refuse_no_take(target, take)

    async def work(graph: Graph) -> render_film.Selected:
        take_id = "" if take == "-" else take
        if take.isdecimal():
            takes = await graph.takes(shot_id)
            if (found := next((each for each in takes if each.attempt_number == int(take)), None)) is None:
                numbers = ", ".join(str(each.attempt_number) for each in takes) or "none"
                said = f"the shot has no take {take}; its takes are {numbers}"
                raise Fault(Code.FAILED_PRECONDITION, "NOT_A_TAKE_OF_THE_SHOT", said)
            take_id = found.asset.id
        return render_film.selected(await graph.select(shot_id, take_id))

    chosen = _ask(target, work)
    render.print_done(target, chosen.said, chosen.revision, chosen.facts)


def import_files(target: Target, files: Sequence[Path], workspace: str) -> None:
    """Make a film of each file. Each is read before the first is made."""
    documents = [(path, *_read(path, as_json=target.as_json)) for path in files]

    async def work(graph: Graph) -> list[tuple[Path, FilmDocument, Imported]]:
        done: list[tuple[Path, FilmDocument, Imported]] = []
        shared: dict[FilmAsset, str] = {}
        for path, document, digest in documents:
            try:
                imported = await film_writing.write(graph, document, workspace, shared, digest)
            except Fault as fault:
                told = fault.again()
                if "change_index" in fault.metadata or fault.reason == "TOO_LARGE":  # else it is not about the file
                    told.message = f"{path}: {fault.message}"
                told.message += f" ({render.counted(len(done), 'film')} imported before)" if done else ""
                raise told from None
            if not digest:  # ids of a story are its own
                shared |= {asset: imported.ids[asset.id] for asset in document.assets}
            done.append((path, document, imported))
            if not target.as_json:
                render_film.print_imported(path, document, imported)
        return done

    done = _ask(target, work)
    if target.as_json:
        render.print_json({"films": [render_film.imported_facts(*each) for each in done]})


def export(target: Target, film_id: str, output: Path | None) -> None:
    """Write a film to a file or standard output."""
    errors = terminal.console(errors=True)
    with errors.status("reading the film") if errors.is_terminal else nullcontext():
        document = _ask(target, lambda graph: film_reading.read(graph, film_id))
    text = film_document.to_text(document)
    if output is None:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return
    try:
        _write(output, text.encode())
    except OSError as error:
        said = f"{output}: {error.strerror or error}"  # the error itself may name a temporary file
        what_to_do = "check the path, its mode and the space left"
        failures.refuse(Code.FAILED_PRECONDITION, "CANNOT_WRITE", said, what_to_do, as_json=target.as_json)
    if target.as_json:
        counts = {"assets": len(document.assets), "relationships": len(document.edges)}
        render.print_json({"film": film_id, "file": str(output), **counts})
    else:
        render_film.print_exported(output, document)


def _ask(target: Target, work: Callable[[Graph], Coroutine[None, None, T]]) -> T:
    try:
        return connection.ask(target, work)
    except FilmChanging as error:
        what_to_do = "try again when nobody works on it"
        failures.refuse(Code.ABORTED, "FILM_CHANGING", str(error), what_to_do, as_json=target.as_json)


def _refuse_no_take(target: Target, take: str) -> None:
    """End the command unless the text is the id of something."""
    try:
        ids.uuid(take, "take_id")
    except Fault as fault:
        said = "TAKE: must be the number of a take, such as 2, or its id, or - for none"
        what_to_do = failures.film_remedy("NOT_A_TAKE_OF_THE_SHOT")
        failures.refuse(fault.code, fault.reason, said, what_to_do, as_json=target.as_json)


def _read(path: Path, *, as_json: bool) -> tuple[FilmDocument, str]:
    """The film that a file holds, and of a story its digest."""
    try:
        if path.stat().st_size > MAX_MESSAGE:
            raise WrongFile(f"over {MAX_MESSAGE} bytes")
        members = film_document.parse(path.read_text(encoding="utf-8"))
        if members.get("format") == film_document.FORMAT:
            return film_document.from_members(members), ""
        if "scenes" not in members:
            raise WrongFile("neither a story (it has no `scenes`) nor an export of a film")
        return story.to_film(members, path.stem), story.digest(members)
    except (WrongFile, UnicodeDecodeError) as error:
        what_to_do = "correct the file at the place named"
        said = f"{path}: {error if isinstance(error, WrongFile) else 'not UTF-8'}"
        failures.refuse(Code.INVALID_ARGUMENT, "WRONG_FILE", said, what_to_do, as_json=as_json)
    except OSError as error:
        failures.refuse(Code.NOT_FOUND, "CANNOT_READ", str(error), "check the path and its mode", as_json=as_json)


def _write(output: Path, data: bytes) -> None:
    """The whole file or none of it."""
    if output.exists() and not output.is_file():  # /dev/stdout, a pipe
        output.write_bytes(data)
        return
    descriptor, temporary = tempfile.mkstemp(prefix=".", dir=output.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, output)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

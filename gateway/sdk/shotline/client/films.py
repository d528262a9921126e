"""Films as a whole: what is in them, in which order, at what cost."""

from collections.abc import AsyncGenerator

from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb
from shotline.client import asking, reading
from shotline.client.arguments import checks_arguments
from shotline.client.calls import Calls
from shotline.client.shapes import FilmCost, FilmShot, FilmStructure, Id


@checks_arguments
class FilmCalls(Calls):
    """Calls about films, and about scenes as if they were films."""

    async def get_film_structure(self, film_id: Id, *, timeout: float | None = None) -> FilmStructure:
        """A film with its scenes, its final edits and all its shots in playing order, all pages. Raises NotFound.

        A film that is changed meanwhile is read as it is at each page (100 shots). timeout: seconds for each page.
        """
        found: FilmStructure | None = None
        request = pb.GetFilmStructureRequest(film_id=asking.id_text(film_id))
        async for page in self._pages(lambda stub: stub.GetFilmStructure, request, timeout):
            if found is None:
                found = {
                    "film": reading.asset(page.film),
                    "scenes": [reading.film_scene(each) for each in page.scenes],
                    "shots": [],
                    "final_edits": [reading.related(each) for each in page.final_edits],
                    "shot_count": page.shot_count,
                }
            found["shots"].extend(map(reading.film_shot, page.shots))
        assert found is not None
        return found

    async def list_film_shots(
        self, film_id: Id, *, page_size: int = 0, timeout: float | None = None
    ) -> AsyncGenerator[FilmShot, None]:
        """The shots of a film in playing order, page by page, for films that are too large to hold. Raises NotFound.

        page_size: shots to ask for at a time; 0: 100, at most 1,000.
        """
        request = pb.GetFilmStructureRequest(film_id=asking.id_text(film_id), page_size=page_size)
        async for page in self._pages(lambda stub: stub.GetFilmStructure, request, timeout):
            for each in page.shots:
                yield reading.film_shot(each)

    async def get_film_cost(self, film_id: Id, *, timeout: float | None = None) -> FilmCost:
        """What a film, scene or shot cost: all that it contains or uses, each asset once, by shot and by provider.

        Exact: Decimals in one currency. Failed, unselected and deleted takes are in it. Raises NotFound.
        """
        request = pb.GetFilmCostRequest(film_id=asking.id_text(film_id))
        return reading.film_cost(await self._call(lambda stub: stub.GetFilmCost, request, timeout))

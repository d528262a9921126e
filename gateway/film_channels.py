"""Channels of the asset graph: a film as a whole, and which take of a shot is selected."""

from collections.abc import Mapping

import orjson
from shotline.studio.v1 import studio_service_pb2 as pb

from gateway.arguments import Arguments
from gateway.channel import Channel, Payload, changed_shot_payload
from gateway.compose import Studio
from services.runtime.wire import MAX_MESSAGE, too_large

_LARGEST_PAGE = 1_000  # shots; the service cuts at 3 MiB, too


async def _get_film(studio: Studio, arguments: Arguments) -> Payload:
    options = arguments.options
    paged = options.has("pageSize") or options.has("pageToken")
    request = pb.GetFilmRequest(
        film_id=arguments.text("filmId"),
        page_size=options.integer("pageSize", 0) if paged else _LARGEST_PAGE,
        page_token=options.text("pageToken", ""),
    )
    payload: Payload = {}
    shots: list[Payload] = []
    size = 0
    while True:
        page = await studio.get_film(request)
        if page.document_json:
            payload = {
                "film": orjson.Fragment(page.document_json),
                "scenes": orjson.Fragment(page.scenes_json),
                "finalEdits": orjson.Fragment(page.final_edits_json),
            }
        shots += map(_film_shot, page.shots)
        payload |= {"shots": shots, "shotCount": page.shot_count}
        if paged:
            return {**payload, "nextPageToken": page.next_page_token}
        if (size := size + page.ByteSize()) > MAX_MESSAGE:
            raise too_large(size, "read it in pages, by options.pageSize and options.pageToken")
        if not page.next_page_token:
            return payload
        request.page_token = page.next_page_token


async def _select_take(studio: Studio, arguments: Arguments) -> Payload:
    options = arguments.options
    request = pb.SelectTakeRequest(
        shot_id=arguments.text("shotId"),
        take_id=arguments.text("takeId"),
        expected_take_id=options.text("expectedTakeId") if options.has("expectedTakeId") else None,
        request_id=options.text("requestId", ""),
    )
    return changed_shot_payload(await studio.select_take(request))


CHANNELS: Mapping[str, Channel] = {
    "film:get": Channel(arguments=("filmId",), options=("pageSize", "pageToken"), answer=_get_film),
    "take:select": Channel(
        arguments=("shotId", "takeId"), options=("expectedTakeId", "requestId"), answer=_select_take
    ),
}


def _film_shot(one: pb.FilmShot) -> Payload:
    return {
        "shot": orjson.Fragment(one.shot.document_json),
        "etag": one.shot.etag,
        "structure": orjson.Fragment(one.shot.structure_json),
        "sceneIds": list(one.scene_ids),
        "position": one.position,
    }

"""Pictures by HTTP: found in the cache, the archive or on the broker, and never passed through."""

import io

import pytest
from PIL import Image

from qc_dashboard.archive.archive import FrameEvidence
from qc_dashboard.archive.blobs import BlobStore
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict
from qc_worker.ports.results import HeatmapEntry
from qc_worker.transport.outgoing import OutgoingRecord
from tests.support.api import API, ApiRig
from tests.support.factories import encoded, jpeg, png_bomb
from tests.support.published import inspection

pytestmark = pytest.mark.anyio

SOURCE = Position("images", 0, 0)
ONE = f"{API}/inspections/images/0/0"
KEY = "qc:heatmap:images:0:0"


def colour(name: str, kind: str = "PNG", side: int = 40) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "made by <script>"
    Image.new("RGB", (side, side // 2), name).save(buffer, kind, exif=exif)
    return buffer.getvalue()


def seen(content: bytes) -> tuple[str, tuple[int, int], str]:
    """Return format, size and the strongest channel."""
    image = Image.open(io.BytesIO(content))
    pixel = image.convert("RGB").getpixel((1, 1))
    assert isinstance(pixel, tuple)
    return str(image.format), image.size, "RGB"[pixel.index(max(pixel))]


def judged(rig: ApiRig, frame: bytes = b"", *, key: str | None = KEY) -> None:
    if frame:
        rig.broker.append(OutgoingRecord("images", b"A/top", frame, []))
    rig.write(inspection(0, heatmap_key=key, verdict=Verdict.REJECT))


def cache(rig: ApiRig) -> None:
    rig.cache.put([HeatmapEntry(KEY, colour("red"), colour("red", "JPEG"))])


def archive(rig: ApiRig) -> None:
    pictures = (colour("lime"), colour("lime"), colour("lime", "JPEG"))
    rig.plant.keep(FrameEvidence(SOURCE, Verdict.REJECT, 0, *pictures))


async def get(rig: ApiRig, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    async with rig.client() as client:
        answer = await client.get(f"{ONE}/{path}", headers=headers)
    return answer.status_code, answer.content, dict(answer.headers)


async def test_small_frames_come_from_the_cache_then_the_archive_then_the_broker(rig: ApiRig) -> None:
    judged(rig, colour("blue"))
    assert seen((await get(rig, "frame.jpg"))[1]) == ("JPEG", (40, 20), "B")
    archive(rig)
    assert seen((await get(rig, "frame.jpg"))[1]) == ("JPEG", (40, 20), "G")
    cache(rig)
    assert seen((await get(rig, "frame.jpg"))[1]) == ("JPEG", (40, 20), "R")


async def test_large_frames_are_the_frame_itself_within_bounds(rig: ApiRig) -> None:
    judged(rig, colour("blue", side=1400))
    cache(rig)
    assert seen((await get(rig, "frame.jpg?size=small"))[1]) == ("JPEG", (40, 20), "R")
    assert seen((await get(rig, "frame.jpg?size=large"))[1]) == ("JPEG", (1400, 700), "B")


async def test_a_thumbnail_is_shown_where_the_frame_has_gone(rig: ApiRig) -> None:
    judged(rig)
    cache(rig)
    assert seen((await get(rig, "frame.jpg?size=large"))[1]) == ("JPEG", (40, 20), "R")


async def test_heatmaps_come_from_the_cache_or_the_archive(rig: ApiRig) -> None:
    judged(rig, colour("blue"))
    assert (await get(rig, "heatmap.png"))[0] == 404
    archive(rig)
    assert seen((await get(rig, "heatmap.png"))[1]) == ("PNG", (40, 20), "G")
    cache(rig)
    assert seen((await get(rig, "heatmap.png"))[1]) == ("PNG", (40, 20), "R")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
async def test_pictures_are_encoded_again_without_what_a_camera_wrote_into_them(rig: ApiRig, kind: str) -> None:
    frame = encoded(kind)
    judged(rig, frame)
    status, shown, headers = await get(rig, "frame.jpg")
    assert status == 200
    assert shown != frame
    assert headers["content-type"] == "image/jpeg"
    assert not Image.open(io.BytesIO(shown)).getexif()


async def test_exif_orientation_is_applied(rig: ApiRig) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (60, 30), "blue").save(buffer, "JPEG", exif=exif)
    judged(rig, buffer.getvalue())
    assert seen((await get(rig, "frame.jpg"))[1])[1] == (30, 60)


async def test_twelve_bits_in_sixteen_are_not_shown_black(rig: ApiRig) -> None:
    buffer = io.BytesIO()
    Image.new("I;16", (32, 32), 3000).save(buffer, "PNG")
    judged(rig, buffer.getvalue())
    shown = Image.open(io.BytesIO((await get(rig, "frame.jpg"))[1])).convert("L")
    assert shown.getpixel((9, 9)) == pytest.approx(3000 / 4095 * 255, abs=3)


@pytest.mark.parametrize("frame", [b"no picture", b"<svg onload='alert(1)'/>", png_bomb(), jpeg()[:400]])
async def test_what_is_no_picture_within_the_limits_is_refused_and_not_passed_on(rig: ApiRig, frame: bytes) -> None:
    judged(rig, frame)
    status, content, headers = await get(rig, "frame.jpg")
    assert status == 404
    assert headers["content-type"] == "application/problem+json"
    assert frame[:20] not in content


async def test_a_picture_that_has_not_changed_is_not_sent_again(rig: ApiRig) -> None:
    judged(rig, colour("blue"))
    _, _, headers = await get(rig, "frame.jpg")
    assert headers["cache-control"] == "private, max-age=3600"
    status, content, _ = await get(rig, "frame.jpg", **{"If-None-Match": f'"other", {headers["etag"]}'})
    assert (status, content) == (304, b"")
    archive(rig)
    assert (await get(rig, "frame.jpg", **{"If-None-Match": headers["etag"]}))[0] == 200


async def test_a_place_that_is_away_is_said_to_be_away_unless_another_one_has_the_picture(
    rig: ApiRig,
) -> None:
    judged(rig, colour("blue"))
    rig.broker.available = False
    status, _, headers = await get(rig, "frame.jpg")
    assert (status, headers["retry-after"]) == (503, "5")
    archive(rig)
    assert seen((await get(rig, "frame.jpg?size=large"))[1])[2] == "G"


async def test_a_file_that_has_gone_from_the_archive_is_not_found(rig: ApiRig) -> None:
    judged(rig, key=None)
    archive(rig)
    evidence = rig.plant.archive.evidence(SOURCE)
    assert evidence is not None
    for sha256 in (evidence.frame_sha256, str(evidence.thumbnail_sha256)):
        BlobStore(rig.plant.url).remove(sha256)
    assert (await get(rig, "frame.jpg"))[0] == 404

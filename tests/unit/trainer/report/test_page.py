import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from qc_worker.domain.inspection import Verdict
from tests.unit.simplenet.factories import a_card, a_head
from tests.unit.trainer.report.factories import CALIBRATION, judged
from trainer.judging.evaluate import JudgedImage
from trainer.judging.figures import MaskNames, Tally, evaluation_of
from trainer.judging.mask_overlap import overlap
from trainer.report.gallery import Album
from trainer.report.page import Report, render_page

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """A page's elements; fails where they are not closed in order."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self._open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page.decode())
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split()).replace("\N{NO-BREAK SPACE}", " ")


IMAGES = (
    judged("g1.png", "good", 1.0),
    judged("g2.png", "good", 5.0),
    judged("d1.png", "dent", 9.0, truth=True),
    judged("d2.png", "dent", 2.0, truth=True),
    judged("s1.png", "scratch", 7.0),
)


def a_report(
    images: tuple[JudgedImage, ...] = IMAGES,
    *,
    dataset: str = "plates",
    unreadable: tuple[str, ...] = (),
    masks: MaskNames | None = None,
) -> Report:
    card = a_card(a_head(), calibration=CALIBRATION)
    album, tallies = Album(CALIBRATION, "squash"), dict[str, Tally]()
    for image in images:
        album.see(image)
        tally = tallies.setdefault(image.image.kind, Tally())
        tally.scores.append(image.score)
        tally.verdicts[image.verdict] += 1
        if image.truth is None:
            continue
        tally.pixels.add(image.anomaly_map, image.truth)
        if image.image.kind != "good":
            tally.masks += 1
            compared = overlap(image.mask, image.truth) if image.mask is not None else None
            tally.overlaps += [compared] if compared else []
    evaluation = evaluation_of(tallies, card, unreadable, masks or MaskNames())
    return Report(card, dataset, datetime(2026, 11, 28, tzinfo=UTC), evaluation, album)


def test_page_names_masks_that_are_missing_or_say_nothing() -> None:
    masks = MaskNames(without=["blot/1.png"], unreadable=["blot/2.png"], empty=["blot/<3>.png"])
    text = Page(render_page(a_report(masks=masks))).text
    for fact in (
        "1 images of defects have no mask: blot/1.png",
        "1 masks cannot be read: blot/2.png",
        "1 masks are empty: blot/<3>.png",
    ):
        assert fact in text


def test_page_is_whole_and_asks_no_server_for_anything() -> None:
    rendered = render_page(a_report())
    page = Page(rendered)
    assert not re.search(rb"https?:|//[a-z]|@import|url\(", re.sub(rb"base64,[A-Za-z0-9+/=]+", b"", rendered))
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.elements}
    assert all((image["src"] or "").startswith("data:image/jpeg;base64,") for image in page.named("img"))
    assert "$" not in page.text


def test_page_can_be_read_without_seeing_it() -> None:
    page = Page(render_page(a_report()))
    assert page.named("html") == [{"lang": "en"}]
    assert len(page.named("h1")) == 1
    assert all(image["alt"] for image in page.named("img"))
    charts = [svg for svg in page.named("svg") if svg.get("role") == "img"]
    assert len(charts) == 3
    assert all(chart["aria-label"] for chart in charts)
    assert len(page.named("table")) == len(page.named("caption")) == 2
    assert all(cell["scope"] in ("col", "row") for cell in page.named("th"))


def test_page_says_what_was_measured() -> None:
    report = a_report()
    text = Page(render_page(report)).text
    for fact in (
        "Line A on plates",
        report.card.version,
        "64 × 64 px, squash",  # noqa: RUF001
        "2026-11-28",
        "at most 20.0 % of good frames rejected, from 4 good frames",
        "66.7 % 2 of 3 images",
        "50.0 % 1 of 2; 20.0 % promised at most",
        "at 1 %: 0 of 2 good",
        "2 of 3 images of defects have a true mask",
        "ground_truth/<kind>/<stem>_mask.EXT",
        "Missed defects 1 of 1",
        "False rejects 1 of 1",
        "Best caught 2 of 2",
    ):
        assert fact in text


def test_table_has_a_row_for_every_kind_and_one_for_all() -> None:
    text = Page(render_page(a_report())).text
    assert re.search(r"dent 2 50\.0 % 50\.0 %.* 2 0\.250 4\.0 scratch 1 100\.0 %.* 0 – – all 3 66\.7 %", text)  # noqa: RUF001
    assert "kind pass reject good 1 1 dent 1 1 scratch 0 1" in text


def test_names_from_outside_are_escaped() -> None:
    nasty = '<script>alert("1")</script>&$name'
    images = tuple(
        judged(f"{number}{nasty}".replace("/", ""), kind, score)
        for number, (kind, score) in enumerate([("good", 1.0), ("good", 6.0), ('<b x="', 9.0), ("'><img src=x>", 2.0)])
    )
    report = a_report(images, dataset=nasty, unreadable=(f"good/{nasty}",))
    page = Page(render_page(report))
    assert not page.named("script")
    assert not page.named("b") or all(attrs == {} for attrs in page.named("b"))
    assert all((image["src"] or "").startswith("data:") for image in page.named("img"))
    assert nasty in page.text
    assert '<b x="' in page.text


def test_a_file_name_that_is_no_text_does_not_cost_the_report() -> None:
    render_page(a_report((*IMAGES, judged("caf\udce9.png", "dent", 8.0)))).decode()


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ((IMAGES[0], IMAGES[2]), ("No defect is missed.", "No good image is rejected.")),
        ((IMAGES[0], IMAGES[3]), ("No defect is caught.",)),
    ],
)
def test_empty_galleries_say_so(images: tuple[JudgedImage, ...], words: tuple[str, ...]) -> None:
    text = Page(render_page(a_report(images))).text
    assert all(word in text for word in words)


def test_size_does_not_grow_with_the_number_of_images() -> None:
    many = tuple(judged(f"{number}.png", "dent", 5.0 + number / 1000, truth=True) for number in range(400))
    assert len(render_page(a_report((*IMAGES, *many)))) < 600_000
    assert sum(image.verdict is Verdict.REJECT for image in many) == 400

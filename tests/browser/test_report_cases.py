"""Reports of what is odd: hostile names, nobody, no video, videos that browsers cannot play, truth, an hour."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from made_results import LABELS, long_report, moving_people, write_result
from pages import SECONDS, ready, settle, until

from relact.data.decode import FrameStream
from relact.labels import Label, LabelMap
from relact.run.report import report
from relact.viz.report import write_page

pytestmark = pytest.mark.slow

Open = Callable[..., Any]

HOSTILE = "</script><img src=x onerror=window.hacked=1>\"'&lt;\u2028<!--"


def result_of(folder: Path, video: Path, **more: Any) -> Path:
    people = moving_people(more.get("name", "stage_3_0000"), SECONDS, labels=more.get("labels", LABELS))
    return write_result(folder, video, people, **{"name": "stage_3_0000", "seconds": SECONDS, **more})


def test_hostile_names_are_only_text(open_page: Open, film: Path, tmp_path: Path):
    video = tmp_path / "a&b <img src=x onerror=window.hacked=1> #1 100%?.mp4"
    shutil.copy(film, video)
    labels = LabelMap([Label(id=k, name=f"{k}{HOSTILE}", group=HOSTILE) for k in (1, 2)])
    folder = tmp_path / "r <b>'\" #2"
    result_of(folder, video, name=HOSTILE, labels=labels, warnings=(HOSTILE,))
    report(tmp_path, labels=labels)
    page = ready(open_page(folder / "report.html"))
    page.keyboard.press("ArrowRight")
    settle(page)
    page.hover("#pane", position={"x": 400, "y": 90})
    assert page.locator("#title").text_content() == HOSTILE
    assert page.locator("#notes p").text_content() == HOSTILE
    assert page.evaluate("document.title") == f"{HOSTILE} · relact"
    assert HOSTILE in page.locator("#tip").text_content()
    assert page.locator(".group").text_content() == HOSTILE
    index = open_page(tmp_path / "index.html")
    assert index.locator("h2").text_content() == HOSTILE
    for opened in (page, index):
        assert opened.evaluate("window.hacked") is None
        assert opened.locator("img[src=x]").count() == 0
    index.locator("#videos a").click()
    assert ready(index).locator("#title").text_content() == HOSTILE


def test_a_script_in_the_page_that_is_not_ours_does_not_run(open_page: Open, result: Path, tmp_path: Path):
    text = (result / "report.html").read_text(encoding="utf-8")
    assert "window.hacked" not in text
    (tmp_path / "bad.html").write_text(text.replace("<main>", "<main><script>window.hacked = 1</script>", 1))
    page = open_page(tmp_path / "bad.html", quiet=False)
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("'relact' in window")


def test_nobody_found_is_a_clear_page(open_page: Open, film: Path, tmp_path: Path):
    write_result(tmp_path / "r", film, [], name="stage_3_0000", seconds=SECONDS, warnings=("nobody was found",))
    report(tmp_path / "r")
    page = ready(open_page(tmp_path / "r" / "report.html"))
    assert page.locator("#nothing").inner_text() == "Nobody was found in this video."
    assert page.locator("#people").inner_text() == "Nobody was found."
    assert "Nobody did anything for sure." in page.locator("#rows").inner_text()
    for key in ("ArrowRight", "ArrowDown", "+", "-", "End", " ", " ", "Escape"):
        page.keyboard.press(key)
    settle(page)
    assert page.evaluate("relact.drawn().boxes") == []
    assert page.locator("#export").is_disabled()


def test_without_its_video_the_report_still_works_and_takes_one(open_page: Open, film: Path, tmp_path: Path):
    video = tmp_path / "film.mp4"
    shutil.copy(film, video)
    folder = result_of(tmp_path / "r", video)
    report(folder)
    video.unlink()
    page = open_page(folder / "report.html", quiet=False)  # the browser itself says that a file is missing
    until(page, "!document.getElementById('no-film').hidden")
    assert "film.mp4" in page.locator("#no-film-text").inner_text()
    page.click("#play")
    until(page, "relact.view().time > 0.3")
    page.click("#play")
    assert len(page.evaluate("relact.drawn().boxes")) == 3
    page.set_input_files("#pick", str(film))
    ready(page)
    assert page.locator("#no-film").is_hidden()
    report(folder)  # made again, the page knows that there is none and does not look for it
    again = open_page(folder / "report.html")
    assert "not here" in again.locator("#no-film-text").inner_text()


def test_an_embedded_video_plays_anywhere(open_page: Open, film: Path, tmp_path: Path):
    [page_file] = report(result_of(tmp_path / "r", film), embed=True)
    moved = tmp_path / "elsewhere" / "report.html"
    moved.parent.mkdir()
    shutil.move(page_file, moved)
    page = ready(open_page(moved))
    page.keyboard.press("ArrowRight")
    settle(page)
    assert page.evaluate("document.getElementById('video').currentTime") == pytest.approx(1, abs=0.03)


def test_a_codec_that_browsers_lack_is_shown_from_a_copy(open_page: Open, film: Path, tmp_path: Path):
    old = tmp_path / "old.avi"
    with FrameStream(film) as stream, av.open(str(old), "w") as container:
        track = container.add_stream("mpeg4", rate=25)
        track.width, track.height, track.pix_fmt = 288, 96, "yuv420p"
        for frame in stream:
            container.mux(track.encode(av.VideoFrame.from_ndarray(frame.rgb(), format="rgb24")))
        container.mux(track.encode())
    folder = result_of(tmp_path / "r", old)
    report(folder)
    assert (folder / "video.mp4").is_file()
    page = ready(open_page(folder / "report.html"))
    assert page.evaluate("document.getElementById('video').duration") == pytest.approx(SECONDS, abs=0.1)


def test_pictures_that_begin_late_on_the_files_clock_meet_their_boxes(open_page: Open, film: Path, tmp_path: Path):
    late = tmp_path / "late.mp4"
    with FrameStream(film) as stream, av.open(str(late), "w") as container:
        track = container.add_stream("libx264", rate=25, options={"bf": "0"})
        track.width, track.height, track.pix_fmt = 288, 96, "yuv420p"
        for frame in stream:
            picture = av.VideoFrame.from_ndarray(frame.rgb(), format="rgb24")
            picture.pts = frame.index + 25
            container.mux(track.encode(picture))
        container.mux(track.encode())
    folder = result_of(tmp_path / "r", late)
    report(folder)
    page = ready(open_page(folder / "report.html"))
    page.keyboard.press("ArrowRight")
    settle(page)
    assert page.evaluate("relact.view().time") == 1
    assert page.evaluate("document.getElementById('video').currentTime") == pytest.approx(2, abs=0.03)


def test_truth_stands_beside_what_was_found(open_page: Open, film: Path, tmp_path: Path):
    folder = result_of(tmp_path / "r", film)
    people = moving_people("stage_3_0000", SECONDS)
    best = LABELS[int(people[1].scores[0].argmax())]
    found = people[1].boxes[0]
    far = "0.90,0.90,0.99,0.99"
    (tmp_path / "truth.csv").write_text(
        f"stage_3_0000,0001,{','.join(f'{v:.4f}' for v in found)},{best.id},7\n"
        f"stage_3_0000,0001,{','.join(f'{v:.4f}' for v in found)},99,7\n"
        f"stage_3_0000,0001,{far},{best.id},8\n"
    )
    report(folder, truth=tmp_path / "truth.csv")
    page = ready(open_page(folder / "report.html"))
    page.keyboard.press("ArrowRight")
    settle(page)
    boxes = {box["name"]: box for box in page.evaluate("relact.drawn().boxes")}
    assert boxes["Truth 7"]["kind"] == "truth"
    assert boxes["Truth 8"]["kind"] == "missed"
    np.testing.assert_allclose(boxes["Truth 7"]["box"], found, atol=1e-4)
    assert {(line["name"], line["missed"]) for line in boxes["Truth 7"]["lines"]} == {
        (best.name.split(" (")[0] if "e.g." in best.name else best.name, False),
        ("action 99", True),
    }
    rows = page.evaluate("relact.rows()")
    assert ["Person 1", "action 99"] in rows
    assert ["Truth 8", best.name] in rows
    assert "1 of 3 actions found" in page.locator("#truth-line").inner_text()
    assert "2 missed, 1 box without a person" in page.locator("#truth-line").inner_text()


def test_long_labels_and_many_people_stay_in_their_places(open_page: Open, film: Path, tmp_path: Path):
    labels = LabelMap([Label(id=k, name=f"action number {k} " + "very " * 80 + "long", group="g" * 90) for k in (1, 2)])
    folder, name = tmp_path / "r", "n" * 180
    write_result(
        folder, film, moving_people(name, SECONDS, 40, labels=labels), name=name, seconds=SECONDS, labels=labels
    )
    report(folder)
    for width in (1280, 360):
        page = ready(open_page(folder / "report.html", viewport={"width": width, "height": 800}))
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("relact.drawn().boxes.length") == 40


@pytest.mark.parametrize("look", ["light", "dark", "phone", "help", "index", "empty"])
def test_no_serious_fault_for_those_who_cannot_see_or_point(
    open_page: Open, result: Path, film: Path, tmp_path: Path, look: str
):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: '.[browser]'")
    path = result / "report.html"
    if look == "index":
        shutil.copytree(result, tmp_path / "one")
        path = report(tmp_path)[-1]
    if look == "empty":
        path = report(write_result(tmp_path / "r", film, [], name="stage_3_0000", seconds=SECONDS))[0]
    phone = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
    scheme = "dark" if look == "dark" else "light"
    page = open_page(path, bypass_csp=True, color_scheme=scheme, **(phone if look == "phone" else {}))
    if look == "help":
        page.keyboard.press("?")
    if look in ("light", "dark"):
        page.locator("#people button").first.click()
    settle(page)
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 10
    serious = [fault for fault in found["violations"] if fault["impact"] in ("serious", "critical")]
    assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in serious] == []


SCRUB = """async (frames) => {
  const pane = document.getElementById('pane'), box = pane.getBoundingClientRect();
  const fire = (type, x) => pane.dispatchEvent(new PointerEvent(type, {
    clientX: x, clientY: box.top + 90, bubbles: true, button: 0, buttons: 1, pointerId: 1, pointerType: 'touch' }));
  fire('pointerdown', box.left + relact.x(0));
  const begin = performance.now();
  for (let k = 1; k <= frames; k += 1) {
    fire('pointermove', box.left + relact.x(3600 * k / frames));
    await new Promise(requestAnimationFrame);
  }
  fire('pointerup', box.left + relact.x(3600));
  return frames / (performance.now() - begin) * 1000;
}"""


def test_an_hour_of_ten_people(open_page: Open, tmp_path: Path, record_property: Callable[[str, object], None]):
    """Sizes and speeds are told, not judged: they are the machine's. What is held is that little is in the page."""
    path = tmp_path / "hour.html"
    write_page(path, long_report())
    begin = time.perf_counter()
    page = open_page(path)
    loaded = time.perf_counter() - begin
    page.wait_for_timeout(500)
    frames = page.evaluate(SCRUB, 120)
    assert page.evaluate("relact.view().time") == pytest.approx(3600, abs=1)
    assert page.evaluate("relact.table().rows") > 3000
    nodes = page.evaluate("document.querySelectorAll('*').length")
    assert nodes < 2000
    assert path.stat().st_size < 4 << 20
    figures = {"MB": round(path.stat().st_size / 1e6, 2), "load s": round(loaded, 2), "scrub frames/s": round(frames)}
    record_property("hour of ten people", {**figures, "nodes": nodes})
    print(f"\nan hour of ten people: {figures}, {nodes} nodes")


def test_the_index_lists_and_finds_videos(open_page: Open, film: Path, tmp_path: Path):
    for name in ("kitchen", "street"):
        write_result(tmp_path / name, film, moving_people(name, SECONDS), name=name, seconds=SECONDS)
    page = open_page(report(tmp_path)[-1], viewport={"width": 390, "height": 800})
    assert page.locator("h2").all_inner_texts() == ["kitchen", "street"]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.fill("#search", "STREET")
    assert page.locator("#videos li:visible h2").all_inner_texts() == ["street"]
    page.fill("#search", "nobody is called so")
    assert page.locator("#nothing").is_visible()
    page.fill("#search", "")
    page.locator("#videos a").first.click()
    assert ready(page).locator("#title").inner_text() == "kitchen"

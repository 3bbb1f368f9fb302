"""The server's pages in a real browser: a video in, progress, the report; refusals, tokens, hostile names; live."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pages import ready, until

from tests.make_server import Server, other

expect = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install '.[browser]'"
).expect
pytestmark = pytest.mark.slow

Visit = Callable[..., Any]
HOSTILE = "<img src=x onerror=window.hacked=1>\"'&lt;.mp4"
TOKEN = "a-token-of-the-first"
EXPECTED = ("Failed to load resource", "blocked by CORS policy")
"""what browsers say of every refusal"""
LONG_MS = 240_000
"""for what needs a worker with a model: loading it takes its time on a busy machine"""

DROP = """([name, type, text]) => {
  const transfer = new DataTransfer();
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  transfer.items.add(new File([bytes], name, { type }));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    const event = new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true });
    document.getElementById("drop").dispatchEvent(event);
  }
}"""


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """Opens an address in a context of its own; in the end no script has failed, and nothing came from elsewhere."""
    contexts, said, origins = [], [], set()

    def hear(message: Any) -> None:
        if message.type == "error" and not any(text in message.text for text in EXPECTED):
            said.append(message.text)

    def open_(address: str, *also: str, **settings: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        contexts.append(context)
        origins.update("/".join(one.split("/")[:3]) for one in (address, *also))
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("console", hear)
        page.on("request", lambda request: said.append(request.url) if elsewhere(request.url) else None)
        page.goto(address, wait_until="domcontentloaded")
        return page

    def elsewhere(url: str) -> bool:
        return url.startswith(("http", "ws")) and not url.startswith(tuple(origins))

    yield open_
    for context in contexts:
        context.close()
    assert said == []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "s") as running:
        yield running


def choose(page: Any, content: bytes, name: str = "street.mp4") -> None:
    expect(page.locator("#limits")).to_contain_text("Up to")
    page.set_input_files("#pick", [{"name": name, "mimeType": "video/mp4", "buffer": content}])


def card(page: Any, state: str, seconds: float = 30) -> Any:
    found = page.locator(f"li[data-state={state}]").first
    expect(found).to_be_visible(timeout=1000 * seconds)
    return found


def test_a_dropped_video_is_judged_and_its_report_plays(visit: Visit, film: Path, tmp_path: Path):
    import base64

    with Server(tmp_path / "s", real=True) as server:
        page = visit(server.url)
        expect(page.locator("#facts")).to_contain_text("stage_linear, 38 actions, on cpu")
        page.evaluate(DROP, ["street & square.mp4", "video/mp4", base64.b64encode(film.read_bytes()).decode()])
        page.select_option("#every", "1")
        done = page.locator("li[data-state=done]").first
        expect(done).to_be_visible(timeout=LONG_MS)
        expect(done.locator("h3")).to_have_text("street & square.mp4")
        assert done.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
        with page.expect_download() as download:
            done.locator("a", has_text="csv").click()
        assert download.value.suggested_filename == "street & square.actions.csv"
        assert Path(download.value.path()).read_text().splitlines()[1].startswith("street & square,0.000000")
        done.locator("h3 a").click()
        page.wait_for_url("**/report.html")
        ready(page)
        assert page.locator("#title").text_content() == "street & square"
        until(page, "document.getElementById('video').readyState >= 2")
        pane = page.locator("#pane").bounding_box()
        page.mouse.click(pane["x"] + page.evaluate("relact.x(4.2)"), pane["y"] + 60)
        until(page, "!document.getElementById('video').seeking && document.getElementById('video').currentTime > 4", 30)
        assert page.evaluate("relact.drawn().time") == pytest.approx(4.2, abs=0.05)
        page.go_back()
        card(page, "done").locator("button", has_text="Delete").click()
        expect(page.locator("#videos li")).to_have_count(0)
        assert list((server.folder / "works").iterdir()) == []


def test_progress_is_shown_and_a_job_is_cancelled(visit: Visit, server: Server, film: Path):
    (server.control / "hold").touch()
    page = visit(server.url)
    choose(page, other(film, 1), "first.mp4")
    running = card(page, "running")
    expect(running.locator("progress")).to_have_attribute("value", str(1 / 6))
    expect(running.locator("p.muted")).to_have_text("0:01 of 0:06 judged")
    choose(page, other(film, 2), "second.mp4")
    expect(card(page, "waiting").locator("p.muted")).to_have_text("waits; it is next")
    choose(page, other(film, 3), "third.mp4")
    expect(card(page, "waiting").locator("p.muted")).to_have_text("waits; 1 video before it")
    page.get_by_role("button", name="Cancel first.mp4").click()
    expect(page.locator("#videos li")).to_have_count(2)
    (server.control / "hold").unlink()
    expect(page.locator("li[data-state=done]")).to_have_count(2, timeout=30_000)
    expect(page.locator("#videos h3").first).to_have_text("third.mp4")


def test_what_is_refused_says_why_and_the_page_goes_on(visit: Visit, tmp_path: Path, film: Path):
    with Server(tmp_path / "s", limits={"megabytes": 1.0}) as server:
        page = visit(server.url)
        choose(page, b"no video" * 100, "notes.txt")
        expect(page.locator(".problem")).to_contain_text("notes.txt: this is not a video")
        choose(page, bytes(2_000_000), "large.mp4")
        expect(page.locator(".problem").nth(1)).to_contain_text("it has 2 MB; this server takes 1 MB at most")
        choose(page, b"", "empty.mp4")
        expect(page.locator(".problem").nth(2)).to_contain_text("empty.mp4: the file is empty")
        page.locator(".problem button").first.click()
        expect(page.locator(".problem")).to_have_count(2)
        (server.control / "fail").touch()
        choose(page, film.read_bytes())
        expect(card(page, "failed").locator(".bad")).to_have_text("nobody could be judged")
        (server.control / "fail").unlink()
        choose(page, film.read_bytes(), "again.mp4")
        expect(page.locator("li[data-state=done]")).to_have_count(2, timeout=30_000)


def test_hostile_names_are_only_text(visit: Visit, server: Server, film: Path):
    page = visit(server.url)
    server.send(film, HOSTILE)
    page.reload()
    done = card(page, "done")
    expect(done.locator("h3")).to_have_text(HOSTILE)
    choose(page, b"no video", HOSTILE)
    expect(page.locator(".problem span")).to_contain_text(HOSTILE)
    done.locator("h3 a").click()
    page.wait_for_url("**/report.html")
    assert "\\u003cimg src=x" in page.content()
    page.go_back()
    for at in (page, page):
        assert at.evaluate("window.hacked") is None
        assert at.locator("img[src=x]").count() == 0


def test_a_second_user_without_the_token_sees_nothing(visit: Visit, tmp_path: Path, film: Path):
    with Server(tmp_path / "s", tokens=[TOKEN]) as server:
        job = server.send(film, client=server.client(headers={"Authorization": f"Bearer {TOKEN}"})).json()["id"]
        page = visit(server.url)
        expect(page.locator("h1")).to_have_text("Log in")
        for path in (f"videos/{job}/result/report.html", f"api/v1/videos/{job}", f"videos/{job}/upload.mp4"):
            assert page.request.get(f"{server.url}/{path}").status == 401
        page.fill("#token", "a wrong guess")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_have_text("This token is not known.")
        page.fill("#token", TOKEN)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("h1")).to_have_text("Videos")
        card(page, "done")
        assert page.evaluate("document.cookie") == ""
        page.get_by_role("button", name="Log out").click()
        expect(page.locator("h1")).to_have_text("Log in")
        assert page.request.get(f"{server.url}/api/v1/videos").status == 401


def test_another_site_can_neither_send_nor_read(visit: Visit, server: Server, film: Path, tmp_path: Path):
    job = server.send(film).json()["id"]
    with Server(tmp_path / "evil") as site:  # another port is another site's page
        page = visit(f"{site.url}/docs", server.url, bypass_csp=True)
        answer = page.evaluate(
            """async ([url, job]) => {
              const form = new FormData();
              form.append("file", new File(["x"], "x.mp4"));
              const sent = await fetch(`${url}/api/v1/videos`, { method: "POST", body: form, mode: "no-cors" })
                .then((answer) => answer.type, () => "refused");
              const read = await fetch(`${url}/api/v1/videos`).then(() => "read", () => "refused");
              const gone = await fetch(`${url}/api/v1/videos/${job}`, { method: "DELETE" })
                .then(() => "sent", () => "refused");
              return [sent, read, gone];
            }""",
            [server.url, job],
        )
    assert answer[1:] == ["refused", "refused"]
    assert len(httpx.get(f"{server.url}/api/v1/videos").json()["videos"]) == 1, "what was sent is not taken"
    assert server.state(job)["id"] == job


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_pages_are_accessible(visit: Visit, tmp_path: Path, film: Path, scheme: str, width: int):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: '.[browser]'")
    with Server(tmp_path / "s") as server:
        page = visit(server.url, color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)
        choose(page, b"no video", "notes.txt")
        choose(page, film.read_bytes(), "a very long name " * 8 + ".mp4")
        card(page, "done")
        (server.control / "fail").touch()
        choose(page, other(film, 1), "failed.mp4")
        card(page, "failed")
        (server.control / "hold").touch()
        choose(page, other(film, 2), "running.mp4")
        card(page, "running")
        for path in ("", "docs", "login"):
            if path:
                page.goto(f"{server.url}/{path}")
                page.wait_for_load_state("networkidle")
            found = axe.Axe().run(page).response
            faults = [rule for rule in found["violations"] if rule["impact"] in ("serious", "critical")]
            assert faults == [], (path, [(rule["id"], rule["nodes"][0]["html"]) for rule in faults])
            wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, f"/{path} is wider than the screen"


def test_the_page_works_with_the_keyboard_alone(visit: Visit, server: Server, film: Path):
    server.send(film, "one.mp4")
    page = visit(server.url)
    card(page, "done")
    reached = set()
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.dataset.deed || ''"))
    assert {"theme", "pick", "every", "open", "csv", "remove"} <= reached
    page.get_by_role("button", name="Delete one.mp4").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#videos li")).to_have_count(0)
    assert page.evaluate("document.activeElement.id") == "pick"


def test_the_api_page_shows_every_operation(visit: Visit, server: Server):
    page = visit(f"{server.url}/docs")
    expect(page.locator("#operations section")).to_have_count(6)
    expect(page.locator("#operations")).to_contain_text(f'"{server.url}/api/v1/videos"')
    page.locator("#operations a", has_text="Problem").first.click()
    expect(page.locator("#Problem")).to_be_in_viewport()
    page.set_viewport_size({"width": 390, "height": 844})
    broken = "[...document.querySelectorAll('th code, td a')].filter(w => w.getClientRects().length > 1)"
    assert page.evaluate(f"{broken}.map((word) => word.textContent)") == [], "a phone breaks no word"


def test_live_pictures_move(visit: Visit, film: Path):
    words = ["live", str(film), "-w", "stage_linear", "--detector", "stage", "--port", "0"]
    with subprocess.Popen([sys.executable, "-m", "relact", *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()
        page = visit(process.stderr.readline().split()[1])
        until(page, "document.querySelector('.live img').naturalWidth === 640", 20)
        look = """() => {
          const image = document.querySelector(".live img");
          const canvas = Object.assign(document.createElement("canvas"), { width: 288, height: 96 });
          const context = canvas.getContext("2d");
          context.drawImage(image, 0, 0, 288, 96);
          return context.getImageData(0, 0, 288, 84).data.reduce((sum, value, at) => sum + value * (at % 251), 0);
        }"""
        seen = set()
        for _ in range(12):
            seen.add(page.evaluate(look))
            page.wait_for_timeout(200)
        assert len(seen) >= 4, "the picture changes"
        expect(page.locator("#figures")).to_contain_text("pictures/s")
        expect(page.locator("#over")).to_be_visible(timeout=60_000)
        rest = process.stderr.read()
    assert process.returncode == 0, rest

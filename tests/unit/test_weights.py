"""The catalogue against the backbones, fetching from a local server and offline, conversion."""

import hashlib
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from relact import backbones, weights
from relact.backbones.pretrained import LAYOUTS, load_published
from relact.errors import InputError
from relact.interop import fetch
from relact.interop.catalog import Published, published, sha256_prefix

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RELACT_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "weights"


class Handler(http.server.BaseHTTPRequestHandler):
    """Any path has the content; under /short half of it comes; /none is not there."""

    def do_GET(self) -> None:
        if self.path.startswith("/none"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if self.path.startswith("/short") else CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_names_are_unique_and_so_are_the_files() -> None:
    entries = published()
    assert len({entry.name for entry in entries}) == len(entries)
    assert len({entry.file for entry in entries}) == len(entries)
    assert {entry.layout for entry in entries} <= set(LAYOUTS)


@pytest.mark.parametrize("entry", [e for e in published() if e.preset and e.layout not in ("acar", "torchvision")])
def test_sizes_follow_from_the_backbones(entry: Published) -> None:
    with torch.device("meta"):
        net = backbones.config(entry.preset or "").build()
    head = entry.num_parameters - sum(parameter.numel() for parameter in net.parameters())
    inputs = sum(net.channels.values())
    assert head % (inputs + 1) == 0
    assert head // (inputs + 1) in (80, 81, 400, 600, 700)


def test_acar_sizes_are_the_published_ones() -> None:
    sizes = {entry.name: entry.num_parameters for entry in published() if entry.layout == "acar"}
    assert sizes["acar_r50_8x8_ava_acar"] == 58_873_800
    assert sizes["acar_r101_8x8_ava_acar"] == 75_597_992


def test_addresses() -> None:
    urls = {entry.name: entry.url for entry in published()}
    zoo = "https://dl.fbaipublicfiles.com/"
    assert urls["slowfast_r50_8x8_k400_pyslowfast"] == zoo + "pyslowfast/model_zoo/kinetics400/SLOWFAST_8x8_R50.pkl"
    assert urls["slowfast_r50_8x8_k400_pytorchvideo"] == zoo + "pytorchvideo/model_zoo/kinetics/SLOWFAST_8x8_R50.pyth"
    mm = "https://download.openmmlab.com/mmaction/v1.0/recognition/slowfast/"
    name = "slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb"
    assert urls["slowfast_r50_8x8_k400_mmaction2"] == f"{mm}{name}/{name}_20220818-1cb6dfc8.pth"
    for entry in published():
        if entry.layout == "mmaction2":
            assert re.fullmatch("[0-9a-f]{8}", sha256_prefix(entry.file) or "")


def test_torchvision_entries() -> None:
    entries = {entry.name: entry for entry in published() if entry.layout == "torchvision"}
    people = entries["fasterrcnn_resnet50_fpn_v2_coco_v1_torchvision"]
    assert (people.kind, people.preset, sha256_prefix(people.file)) == ("people", None, "dd69338a")
    assert "fasterrcnn_mobilenet_v3_large_fpn_coco_v1_torchvision" in entries
    assert entries["mvit_v2_s_kinetics400_v1_torchvision"].preset == "mvit_v2_s"


def test_rows_of_the_list(home: Path) -> None:
    rows = {row["name"]: row for row in weights.list_weights()}
    row = rows["slowfast_r50_8x8_k400_pytorchvideo"]
    assert row["size"] == "about 138 MB"  # 34.6 million parameters of 4 bytes
    assert (row["architecture"], row["trained_on"], row["cached"]) == ("slowfast_r50_8x8", "Kinetics-400", False)
    assert "Apache-2.0" in row["licence"]
    home.mkdir(parents=True)
    (home / row["file"]).touch()
    assert {r["name"]: r for r in weights.list_weights()}[row["name"]]["cached"] is True


def test_fetching(server: str, home: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch.fetch_url(f"{server}/a.pth", "a.pth", lambda done, total: seen.append((done, total)))
    assert path == home / "a.pth"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert (home / "a.pth.sha256").read_text().split() == [DIGEST, "a.pth"]
    assert sorted(p.name for p in home.iterdir()) == ["a.pth", "a.pth.sha256"]
    assert fetch.fetch_url("http://nowhere.invalid/a.pth", "a.pth") == path  # from the folder


def test_damage_is_noticed_at_the_next_use(server: str, home: Path) -> None:
    path = fetch.fetch_url(f"{server}/a.pth", "a.pth")
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match=r"a\.pth: damaged or another file: .*delete it and fetch it again"):
        fetch.fetch_url(f"{server}/a.pth", "a.pth")


def test_the_sha256_in_a_name_is_checked(server: str, home: Path) -> None:
    good, bad = f"a-{DIGEST[:8]}.pth", "a-00000000.pth"
    assert fetch.fetch_url(f"{server}/{good}", good).is_file()
    with pytest.raises(InputError, match="it is not what was published"):
        fetch.fetch_url(f"{server}/{bad}", bad)
    assert not (home / bad).exists()
    (home / bad).write_bytes(CONTENT)  # put there by hand
    with pytest.raises(InputError, match="damaged or another file"):
        fetch.fetch_url(f"{server}/{bad}", bad)


@pytest.mark.parametrize("path", ["short/a.pth", "none/a.pth"])
def test_what_does_not_come_whole_leaves_nothing(path: str, server: str, home: Path) -> None:
    with pytest.raises(InputError, match=r"a\.pth"):
        fetch.fetch_url(f"{server}/{path}", "a.pth")
    assert not home.exists() or not list(home.iterdir())


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a.pth", "http://nowhere.invalid/a.pth"])
def test_offline_one_line_says_what_to_put_where(url: str, home: Path) -> None:
    with pytest.raises(InputError) as error:
        fetch.fetch_url(url, "a.pth")
    message = str(error.value)
    assert "\n" not in message
    assert url in message
    assert f"put a.pth into {home}" in message


def test_files_of_google_drive_are_fetched_by_hand(home: Path) -> None:
    with pytest.raises(
        InputError, match=r"drive\.google\.com/file/d/12vGZ.*save the file as acar_r50_8x8_ava_acar\.pth"
    ):
        weights.fetch("acar_r50_8x8_ava_acar")
    home.mkdir(parents=True)
    (home / "acar_r50_8x8_ava_acar.pth").write_bytes(CONTENT)
    assert weights.fetch("acar_r50_8x8_ava_acar") == home / "acar_r50_8x8_ava_acar.pth"


def test_unknown_weights() -> None:
    with pytest.raises(InputError, match="did you mean 'slowfast_r50_8x8_k400_pyslowfast'"):
        weights.fetch("slowfast_r50_8x8_k400_pyslowfas")


def notes(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata()


def test_conversion(tmp_path: Path) -> None:
    net = backbones.config("slowfast_debug").build()
    state = {name: value for name, value in net.state_dict().items() if not name.endswith("tracked")}
    source = tmp_path / "a.pth"
    torch.save({"state_dict": state | {"head.proj.weight": torch.ones(3, 320)}}, source)
    report = weights.convert(source, out=tmp_path / "a.safetensors")
    assert len(report.matched) == len(state)
    assert notes(tmp_path / "a.safetensors") == {
        "layout": "relact",
        "presets": "slowfast_debug",
        "source": "a.pth",
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
    }
    assert load_file(tmp_path / "a.safetensors")["head.proj.weight"].shape == (3, 320)
    fresh = backbones.config("slowfast_debug").build()
    load_published(fresh, tmp_path / "a.safetensors")
    assert torch.equal(fresh.state_dict()["fuse.s4.conv.weight"], state["fuse.s4.conv.weight"])


def test_conversion_is_checked(tmp_path: Path) -> None:
    source, out = tmp_path / "a.pth", tmp_path / "a.safetensors"
    torch.save({"slow.s1.conv.weight": torch.zeros(8, 3, 1, 7, 7)}, source)
    with pytest.raises(InputError, match="fits none of the backbones"):
        weights.convert(source, out=out)
    with pytest.raises(InputError, match="weights of another architecture"):
        weights.convert(source, out=out, preset="slowonly_debug")
    with pytest.raises(InputError, match=r"ends with \.safetensors"):
        weights.convert(source, out=tmp_path / "a.pth")
    assert not out.exists()

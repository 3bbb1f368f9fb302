"""Made-up people of a short video, written as each annotation tool writes them."""

import json
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

WIDTH, HEIGHT, RATE, FRAMES = 96, 64, 10, 40
"""of the videos that these scenes are of: seconds 0 to 3"""
ACTIONS = ("walk", "hand wave", "sit & <talk>")
TOOLS = ("cvat", "cvat images", "via", "via2", "coco", "mot", "labelstudio")

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Somebody:
    """A box and actions at each of some whole seconds in a row."""

    first: int
    boxes: tuple[Box, ...]
    """pixels, two decimals"""
    actions: tuple[frozenset[str], ...]

    @property
    def seconds(self) -> list[int]:
        return [self.first + k for k in range(len(self.boxes))]


Scene = dict[str, list[Somebody]]  # a video's name → its people


def expected(scene: Scene) -> set[tuple[str, int, Box, str]]:
    """(video, second, box in pixels, action)."""
    return {
        (video, second, box, action)
        for video, people in scene.items()
        for person in people
        for second, box, actions in zip(person.seconds, person.boxes, person.actions, strict=True)
        for action in actions
    }


def write(tool: str, scene: Scene, folder: Path) -> list[Path]:
    """The files that the tool would export."""
    folder.mkdir(parents=True, exist_ok=True)
    return _WRITERS[tool](scene, folder)


def _saved(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


CVAT_LABELS = (
    "<labels><label><name>person</name><attributes>"
    + "".join(
        f"<attribute><name>{escape(name)}</name><mutable>True</mutable><input_type>checkbox</input_type>"
        "<default_value>false</default_value><values>false</values></attribute>"
        for name in ACTIONS
    )
    + "</attributes></label></labels>"
)


def _notes(actions: frozenset[str]) -> str:
    return "".join(
        f"<attribute name={quoteattr(name)}>{'true' if name in actions else 'false'}</attribute>" for name in ACTIONS
    )


def cvat_text(video: str, tracks: str, *, more: str = "") -> str:
    return (
        f'<?xml version="1.0"?>\n<annotations>\n<version>1.1</version>\n<meta><task><id>7</id><name>{video}</name>'
        f"<start_frame>0</start_frame><stop_frame>{FRAMES - 1}</stop_frame>{CVAT_LABELS}"
        f"<original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size>"
        f"<source>{video}.mp4</source></task></meta>\n{tracks}{more}</annotations>\n"
    )


def cvat_box(frame: int, box: Box, actions: frozenset[str], *, outside: bool = False) -> str:
    corners = " ".join(f'{key}="{value:.2f}"' for key, value in zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True))
    return (
        f'<box frame="{frame}" keyframe="1" outside="{int(outside)}" occluded="0" {corners}>{_notes(actions)}</box>\n'
    )


def _cvat(scene: Scene, folder: Path) -> list[Path]:
    paths = []
    for video, people in scene.items():
        tracks = ""
        for k, person in enumerate(people):
            tracks += f'<track id="{k}" label="person">\n'
            for second, box, actions in zip(person.seconds, person.boxes, person.actions, strict=True):
                tracks += cvat_box(second * RATE, box, actions)
            end = person.seconds[-1] * RATE + 3
            tracks += cvat_box(end, person.boxes[-1], person.actions[-1], outside=True) + "</track>\n"
        paths.append(_saved(folder / f"{video}.xml", cvat_text(video, tracks)))
    return paths


def _at_seconds(people: list[Somebody]) -> dict[int, list[tuple[int, Box, frozenset[str]]]]:
    found: dict[int, list[tuple[int, Box, frozenset[str]]]] = {}
    for k, person in enumerate(people, start=1):
        for second, box, actions in zip(person.seconds, person.boxes, person.actions, strict=True):
            found.setdefault(second, []).append((k, box, actions))
    return found


def _cvat_images(scene: Scene, folder: Path) -> list[Path]:
    images = ""
    for video, people in scene.items():
        for second, boxes in _at_seconds(people).items():
            name = f"{video}/frame_{second * RATE:06d}.png"
            images += f'<image id="0" name="{name}" width="{WIDTH}" height="{HEIGHT}">\n'
            for k, box, actions in boxes:
                corners = " ".join(f'{n}="{v:.2f}"' for n, v in zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True))
                who = f'<attribute name="person_id">{k}</attribute>'
                images += f'<box label="person" {corners}>{_notes(actions)}{who}</box>\n'
            images += "</image>\n"
    text = f"<annotations><version>1.1</version><meta><task><name>t</name>{CVAT_LABELS}</task></meta>{images}"
    return [_saved(folder / "images.xml", text + "</annotations>")]


def _via(scene: Scene, folder: Path) -> list[Path]:
    options = {str(k): name for k, name in enumerate(ACTIONS)}
    project = {
        "project": {"pid": "__VIA_PROJECT_ID__", "vid_list": [str(k) for k in range(1, len(scene) + 1)]},
        "attribute": {
            "1": {"aname": "does", "anchor_id": "FILE1_Z1_XY1", "type": 2, "options": options},
            "2": {"aname": "person", "anchor_id": "FILE1_Z1_XY1", "type": 1, "options": {}},
        },
        "file": {str(k): {"fid": k, "fname": f"{video}.mp4", "type": 4} for k, video in enumerate(scene, start=1)},
        "view": {str(k): {"fid_list": [str(k)]} for k in range(1, len(scene) + 1)},
        "metadata": {},
    }
    for view, people in enumerate(scene.values(), start=1):
        for second, boxes in _at_seconds(people).items():
            for k, (x1, y1, x2, y2), actions in boxes:
                chosen = ",".join(str(ACTIONS.index(name)) for name in sorted(actions))
                project["metadata"][f"{view}_{second}_{k}"] = {
                    "vid": str(view), "flg": 0, "z": [float(second)], "xy": [2, x1, y1, x2 - x1, y2 - y1],
                    "av": {"1": chosen, "2": str(k)},
                }  # fmt: skip
    return [_saved(folder / "project.json", project)]


def _via2(scene: Scene, folder: Path) -> list[Path]:
    entries = {}
    for video, people in scene.items():
        for second, boxes in _at_seconds(people).items():
            name = f"{video}_{second * RATE:05d}.jpg"
            regions = [
                {
                    "shape_attributes": {"name": "rect", "x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1},
                    "region_attributes": {"does": dict.fromkeys(sorted(actions), True), "person": str(k)},
                }
                for k, (x1, y1, x2, y2), actions in boxes
            ]
            entries[f"{name}1234"] = {"filename": name, "size": 1234, "regions": regions, "file_attributes": {}}
    does = {"type": "checkbox", "options": dict.fromkeys(ACTIONS, "")}
    attributes = {"region": {"does": does, "person": {"type": "text"}}, "file": {}}
    return [_saved(folder / "via2.json", {"_via_img_metadata": entries, "_via_attributes": attributes})]


def _coco(scene: Scene, folder: Path) -> list[Path]:
    content = {
        "videos": [{"id": k, "name": f"{video}.mp4"} for k, video in enumerate(scene, start=1)],
        "categories": [{"id": k, "name": name} for k, name in enumerate(("person", *ACTIONS), start=1)],
        "images": [],
        "annotations": [],
    }
    for k, people in enumerate(scene.values(), start=1):
        for second, boxes in _at_seconds(people).items():
            image = len(content["images"])
            content["images"].append(
                {"id": image, "video_id": k, "frame_index": second * RATE, "width": WIDTH, "height": HEIGHT}
            )
            for person, (x1, y1, x2, y2), actions in boxes:
                content["annotations"].append({
                    "id": len(content["annotations"]), "image_id": image, "category_id": 1, "track_id": person,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "actions": [2 + ACTIONS.index(name) for name in sorted(actions)],
                })  # fmt: skip
    return [_saved(folder / "coco.json", content)]


def _mot(scene: Scene, folder: Path) -> list[Path]:
    paths, actions = [], ["video,person,action,start_frame,end_frame"]
    for video, people in scene.items():
        lines = []
        for second, boxes in _at_seconds(people).items():
            for k, (x1, y1, x2, y2), done in boxes:
                frame = second * RATE + 1
                lines.append(f"{frame},{k},{x1 + 1:.2f},{y1 + 1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},1,-1,-1,-1\n")
                actions += [f'{video},{k},"{name}",{frame},{frame + RATE - 1}' for name in sorted(done)]
        paths.append(_saved(folder / f"{video}.txt", "".join(lines)))
    _saved(folder / "actions.csv", "\n".join(actions) + "\n")
    return paths


def _labelstudio(scene: Scene, folder: Path) -> list[Path]:
    tasks = []
    for video, people in scene.items():
        result = []
        for k, person in enumerate(people):
            # a region holds its choices throughout, so one region a second
            for second, (x1, y1, x2, y2), actions in zip(person.seconds, person.boxes, person.actions, strict=True):
                place = {
                    "x": 100 * x1 / WIDTH, "y": 100 * y1 / HEIGHT, "width": 100 * (x2 - x1) / WIDTH,
                    "height": 100 * (y2 - y1) / HEIGHT, "rotation": 0,
                }  # fmt: skip
                sequence = [
                    {"frame": second * RATE + 1, "enabled": True, **place},
                    {"frame": second * RATE + 4, "enabled": False, **place},
                ]
                value = {"framesCount": FRAMES, "duration": FRAMES / RATE, "sequence": sequence, "labels": ["person"]}
                same = {"id": f"r{k}s{second}", "to_name": "video"}
                result.append({**same, "from_name": "box", "type": "videorectangle", "value": value})
                choices = {"choices": sorted(actions)}
                result.append({**same, "from_name": "does", "type": "choices", "value": choices})
        address = f"/data/upload/1/0a1b2c3d-{video}.mp4"
        tasks.append({"id": len(tasks), "data": {"video": address}, "annotations": [{"id": 1, "result": result}]})
    return [_saved(folder / "export.json", tasks)]


_WRITERS = {
    "cvat": _cvat, "cvat images": _cvat_images, "via": _via, "via2": _via2, "coco": _coco, "mot": _mot,
    "labelstudio": _labelstudio,
}  # fmt: skip

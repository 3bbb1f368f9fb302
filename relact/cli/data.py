"""The commands for data sets: data stage, data convert, data export, data check."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from relact.cli.app import data_app, pairs, say
from relact.errors import InputError

if TYPE_CHECKING:
    from relact.data.check import SetCheck, Statistics
    from relact.data.check_sets import SplitsCheck

Tools = Literal["cvat", "via", "coco", "mot", "labelstudio"]


@data_app.command("stage")
def data_stage(
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder to write.")],
    videos: Annotated[int, typer.Option(help="How many.", min=1)] = 20,
    seconds: Annotated[
        int, typer.Option(help="Of each; from 24 on there are scenes whose labels need memory.", min=3)
    ] = 48,
    seed: Annotated[int, typer.Option(help="The same seed gives the same labels and frames.", min=0)] = 0,
    validation: Annotated[float, typer.Option(help="Share of the videos that val.csv has.", min=0, max=1)] = 0.2,
    family: Annotated[
        list[str] | None, typer.Option(help="Only this family of actions (docs/stage.md); may be given several times.")
    ] = None,
    rate: Annotated[int, typer.Option(help="Frames a second.", min=8, max=60)] = 15,
    scale: Annotated[int, typer.Option(help="Pixels a unit; 2 gives 576 x 192.", min=1, max=6)] = 2,
    workers: Annotated[int, typer.Option(help="Processes that draw.", min=1)] = 1,
) -> None:
    """Generate plays in which an action is known by a relation alone, with labels, in AVA's format (docs/stage.md).

    Example: relact data stage --out stage --videos 400 --seed 1 --validation 0.25 --workers 2
    """
    from relact.data.stage import StageConfig, generate

    try:
        config = StageConfig(
            videos=videos, seconds=seconds, seed=seed, validation=validation, rate=rate, scale=scale,
            families=tuple(family or ()),  # type: ignore[arg-type]
        )  # fmt: skip
    except ValueError as error:
        raise InputError(f"these settings make no set: {error}") from None
    generate(out, config, workers=workers, say=say)
    say(f"{videos} plays and their labels are in {out}")


@data_app.command("convert")
def data_convert(
    tool: Annotated[Tools, typer.Argument(help="The tool that wrote the labels.")],
    inputs: Annotated[list[Path], typer.Argument(help="Its exports: files, zips, or a folder of them.")],
    videos: Annotated[Path, typer.Option(help="Folder of the annotated videos (or the only one).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write: videos/, groundtruth.csv, labels.csv.")],
    copy: Annotated[bool, typer.Option("--copy", help="Copy the videos; default: link to them.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the labels that are there.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between keyframes.", min=0.04)] = 1.0,
    tolerance: Annotated[
        float, typer.Option(help="Seconds from a keyframe to the annotated picture that stands for it.", min=0)
    ] = 0.25,
    label_is: Annotated[
        Literal["auto", "action", "person"], typer.Option(help="What a box's label says; auto: see the tutorial.")
    ] = "auto",
    action_attribute: Annotated[
        list[str] | None, typer.Option(help="Attributes that say what people do; default: all.")
    ] = None,
    person_attribute: Annotated[str | None, typer.Option(help="The attribute that says who it is.")] = None,
    person_label: Annotated[list[str] | None, typer.Option(help="Labels of people; default: all boxes.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="Fix the actions and their ids: a labels.csv, a pbtxt, ava, ava60.")
    ] = None,
    actions: Annotated[Path | None, typer.Option(help="mot: csv person,action,start,end.")] = None,
    first_frame: Annotated[int, typer.Option(help="Number of the first frame, in names of pictures.", min=0)] = 0,
    fps: Annotated[float | None, typer.Option(help="Frames a second of the annotation, where not the video's.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out what is wrong, and count it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Turn labels of CVAT, VIA, COCO, MOT or Label Studio into a folder to train on.

    Example: relact data convert cvat task.zip --videos videos --out mydata
    """
    from relact.data.convert import Keyframing
    from relact.interop.annotations.naming import Naming
    from relact.interop.annotations.readers import ReadOptions
    from relact.run.convert import convert

    done = convert(
        tool, inputs, videos, out, copy=copy, overwrite=overwrite, labels=labels, skip_bad=skip_bad,
        options=ReadOptions(
            first_frame=first_frame, fps=fps, person=person_attribute, actions=None if actions is None else str(actions)
        ),
        naming=Naming(
            label_is=label_is, actions=tuple(action_attribute or ()), person=person_attribute,
            labels=tuple(person_label or ()),
        ),
        keyframing=Keyframing(every=every, tolerance=tolerance),
    )  # fmt: skip
    if as_json:
        print(json.dumps(done.to_json(), indent=2, ensure_ascii=False))
        return
    say(
        f"{done.videos} videos, {done.keyframes} keyframes ({done.empty} without people), {done.people} people, "
        f"{done.rows} boxes → {done.folder}"
    )
    for name, count in done.examples.items():
        print(f"{count:7}  {name}")
    for what, count in done.ignored.items():
        say(f"ignored: {count} {what}")
    if done.skipped:
        say(f"skipped: {done.skipped} faults, such as")
        for message in done.skipped_first[:5]:
            say(f"  {message}")


@data_app.command("export")
def data_export(
    tool: Annotated[Literal["cvat", "fiftyone"], typer.Argument(help="The tool that is to read it.")],
    source: Annotated[Path, typer.Argument(help="A folder that `relact detect` wrote, or one of labels.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The .xml file; a folder for several videos, or for FiftyOne.")
    ],
    labels: Annotated[
        str | None, typer.Option(help="The actions to offer: a labels.csv; default: those that occur.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Least score of an action that is written; default: 0.5 for CVAT, 0 for FiftyOne.", min=0, max=1
        ),
    ] = None,
) -> None:
    """Write predictions or labels as CVAT video XML, to correct them and convert them back; or results for FiftyOne.

    Example: relact data export cvat out/street --out corrections.xml

    Example: relact data export fiftyone out --out fiftyone
    """
    if tool == "fiftyone":
        from relact.run.fiftyone import export_fiftyone

        print(export_fiftyone(source, out, threshold=threshold or 0.0))
        return
    from relact.run.convert import export_cvat

    for path in export_cvat(source, out, labels=labels, threshold=0.5 if threshold is None else threshold):
        print(path)


@data_app.command("check")
def data_check(
    folder: Annotated[
        Path | None, typer.Argument(help="A folder with videos/, groundtruth.csv and labels.csv; or --recipe's data.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Check both splits of this recipe's data set, in its own layout, instead.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="With --recipe: change a setting: data.root=ucf24.")
    ] = None,
    truth: Annotated[str, typer.Option(help="The ground truth below the folder (data.train, data.val).")] = (
        "groundtruth.csv"
    ),
    labels: Annotated[str, typer.Option(help="The labels below the folder, or a shipped map: ava, ava60.")] = (
        "labels.csv"
    ),
    videos: Annotated[str, typer.Option(help="The videos' folder below the folder.")] = "videos",
    exclude: Annotated[str | None, typer.Option(help="Excluded timestamps below the folder.")] = None,
    start: Annotated[float, typer.Option(help="The labels' second of a file's first frame (AVA: 900).")] = 0.0,
    decode: Annotated[bool, typer.Option("--decode", help="Decode every video to its end.")] = False,
    page: Annotated[Path | None, typer.Option(help="Write a page with drawn keyframes: check.html")] = None,
    write_good: Annotated[
        Path | None, typer.Option(help="Write the ground truth without the faulty rows to this csv.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Read a labelled set, say what is wrong and where, and count what is there.

    Status: 0 fine (maybe with warnings), 1 problems, 2 unusable.

    Example: relact data check mydata --page check.html

    Example: relact data check ucf24 --recipe ucf24_slowfast_r50
    """
    if recipe is not None:
        below = {"--truth": truth != "groundtruth.csv", "--labels": labels != "labels.csv",
                 "--videos": videos != "videos", "--exclude": exclude is not None, "--start": start != 0,
                 "--page": page is not None, "--write-good": write_good is not None}  # fmt: skip
        _check_recipe(recipe, folder, settings or [], [name for name, given in below.items() if given], decode, as_json)
        return
    if folder is None or settings:
        raise InputError(
            "data check: --set belongs to --recipe NAME" if settings else
            "data check: expected a folder, or --recipe NAME to check the data set of a recipe"
        )  # fmt: skip
    from relact.data.check import check

    checked = check(
        folder,
        truth=truth,
        labels=labels,
        videos=videos,
        exclude=exclude,
        start=start,
        decode=decode,
        write_good=write_good,
    )
    if page is not None:
        from relact.run.labels_page import write_page

        write_page(page, checked, start=start)
    if as_json:
        print(json.dumps(checked.to_json(), indent=2, ensure_ascii=False))
    else:
        _show(checked.statistics)
        _show_findings(checked)
    if write_good is not None:
        say(f"{int(checked.rows.usable.sum())} good rows are in {write_good}")
    if checked.problems:
        raise typer.Exit(1)


def _check_recipe(
    name: str, folder: Path | None, settings: list[str], others: list[str], decode: bool, as_json: bool
) -> None:
    """`data check --recipe`; `others`: options that were given and do not go with it."""
    from relact import recipes as shipped
    from relact.data.check_sets import check_splits
    from relact.recipe import override

    if others:
        raise InputError(f"data check: {others[0]} does not go with --recipe; its data has settings: --set data.…")
    root = {} if folder is None else {"data.root": json.dumps(str(folder))}
    checked = check_splits(override(shipped.load(name), {**root, **pairs(settings)}).data, decode=decode)
    if as_json:
        print(json.dumps(checked.to_json(), indent=2, ensure_ascii=False))
    else:
        for split, statistics in checked.splits.items():
            _show(statistics, f"{split}: ")
        _show_findings(checked)
    if checked.problems:
        raise typer.Exit(1)


def _show(s: "Statistics", title: str = "") -> None:
    """What there is, and bars."""
    print(
        f"{title}{s.videos} videos, {s.seconds:.1f} s, {s.keyframes} keyframes ({s.empty_keyframes} without people), "
        f"{s.people} people, {s.boxes} boxes ({s.boxes_without_id} without an id), at most {s.most_people} a keyframe"
    )
    most, wide = max(s.examples.values(), default=0), max(map(len, s.examples), default=0)
    for name, count in s.examples.items():
        print(f"{count:7}  {name:<{wide}}  {'█' * round(40 * count / max(most, 1)) or ('▏' if count else '')}".rstrip())
    for first, second, count in s.together[:10]:
        print(f"{count:7}  {first} + {second}")


def _show_findings(checked: "SetCheck | SplitsCheck") -> None:
    for found in checked.findings:
        print(f"{found.severity}: {found.kind} ({found.count})")
        for example in found.examples:
            print(f"  {example}")
        if found.count > len(found.examples):
            print(f"  … and {found.count - len(found.examples)} more")
    print(f"{checked.problems} problems, {checked.warnings} warnings")

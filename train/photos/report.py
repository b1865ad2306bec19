"""The figures of :mod:`train.photos` as Markdown, to be pasted into a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from train.photos.detection import SAME_FACE_IOU
from train.photos.gaze import NEARER_BY_DEG
from train.photos.stability import NOISE_GREY_LEVELS, SHIFT_PX

_FINDERS = {
    "ours": "our detector",
    "yunet": "YuNet",
    "sdk_with_ours": "SDK with ours",
    "sdk_with_yunet": "SDK with YuNet",
}


def markdown(report: Mapping[str, Any]) -> str:
    """All sections; one that could not be measured says why."""
    parts = (
        _detection(report["detection"]),
        _landmarks(report["landmarks"]),
        _gaze(report["gaze"]),
        _mirror(report["mirror"]),
        _stability(report["stability"]),
        _speed(report["speed"]),
    )
    return "\n".join(line for part in parts for line in (*part, ""))


def table(
    head: Sequence[str], rows: Sequence[Sequence[object]], *, words: Sequence[str] = ()
) -> list[str]:
    """A Markdown table; the first column is words, the others are figures but those named."""
    lines = "".join("---|" if name in (head[0], *words) else "---:|" for name in head)
    return [
        f"| {' | '.join(head)} |",
        f"|{lines}",
        *(f"| {' | '.join(map(str, row))} |" for row in rows),
    ]


def _detection(figures: Mapping[str, Any]) -> list[str]:
    names = [name for name in _FINDERS if name in figures]
    rows: list[Sequence[object]] = []
    for copy in figures["ours"]["recall"]:
        cells = [figures[name]["recall"][copy] for name in names]
        title = "as they are" if copy == "1/1" else f"shrunk to {copy}"
        rows.append([f"faces found, {title}", *(f"{c['found']} of {c['of']}" for c in cells)])
    cells = [figures[name]["false"] for name in names]
    rows += [
        [f"false faces in {cells[0]['of_pictures']} pictures without one"]
        + [str(c["faces"]) for c in cells],
        ["pictures with a false face", *(c["pictures"] for c in cells)],
        ["faces in the photographs without a reference"]
        + [str(len(figures[name]["recall"]["1/1"]["unknown"])) for name in names],
    ]
    lines = [
        "### Faces found",
        "",
        *table(["", *(_FINDERS[name] for name in names)], rows),
        "",
        "All with the SDK's default thresholds; the right columns are whole SDKs, in which the "
        "landmark network's presence decides too. The reference boxes are YuNet's own, at some "
        "setting, then checked by eye: a face that YuNet overlooks is not asked for, so that its "
        "recall is flattered, and most of all on the pictures as they are. Copies are shrunk by "
        "area; faces of 32 px and less in them are not asked for. A box is a face's where the two "
        f"overlap by {SAME_FACE_IOU} (intersection over union).",
    ]
    if "time" in figures:
        time = figures["time"]
        lines += [
            "",
            f"Our detector takes {time['times_as_long']:.2f} times as long as YuNet a picture "
            f"(median of the photographs, same process, {time['threads']} "
            f"{'thread' if time['threads'] == 1 else 'threads'}).",
        ]
    if "skipped" in figures:
        lines += ["", f"YuNet was not run: {figures['skipped']}."]
    missed = figures["ours"]["recall"]["1/1"]["missed"]
    if missed:
        names_of_missed = ", ".join(
            f"{m['photo']} {m['face']} ({m['long_side_px']} px)" for m in missed
        )
        lines += ["", f"Our detector alone misses: {names_of_missed}."]
    return lines


def _landmarks(figures: Mapping[str, Any]) -> list[str]:
    rows = [
        [kind, *(f"{f[key]:.1f}" for key in ("mean", "median", "worst")), f["worst_face"]]
        for kind, f in figures["kinds"].items()
    ]
    photos = [
        [name, f["face"], f["kind"], f"{f['error']:.1f}"] for name, f in figures["photos"].items()
    ]
    return [
        "### Landmarks",
        "",
        f"Against MediaPipe's points on {figures['faces']} faces, in % of the distance between the "
        "outer eye corners. Where a turned head shortens that distance in the picture, it is taken "
        "as 0.75 of the distance from between the eyes to the chin. The two programs define chin "
        "and nose tip a little differently.",
        "",
        *table(["points", "mean", "median", "worst face", "which"], rows, words=["which"]),
        "",
        *table(
            ["photograph", "face", "its worst points", "error, %"],
            photos,
            words=["its worst points"],
        ),
    ]


def _gaze(figures: Mapping[str, Any]) -> list[str]:
    head = ["faces", "n", "ours to peer, median", "taken as stored, median"]
    head += ["ours to the eye's guess", "peer to it", "nearer: ours, peer, even"]
    groups = [
        [name.replace("_", " "), g["faces"], f"{g['angle_deg_median']:.1f}°"]
        + [f"{g['angle_as_stored_deg_median']:.1f}°"]
        + (
            [f"{g['ours_off_deg_median']:.1f}°", f"{g['peer_off_deg_median']:.1f}°"]
            + [f"{g['nearer_ours']}, {g['nearer_peer']}, {g['nearer_even']}"]
            if g["judged"]
            else ["–"] * 3
        )
        for name, g in figures["summary"].items()
    ]
    lines = [
        "### Gaze beside OpenVINO's gaze-estimation-adas-0002",
        "",
        "Angles are measured from the line between the eyes and the camera, in which the peer "
        "answers; “taken as stored” takes its answer for one from the camera's own axis, which is "
        "wrong away from the middle of a picture. The peer is a program, not truth. The eye's "
        f"guess is coarse (10° to 15°); one is called nearer where it is by {NEARER_BY_DEG:g}°.",
        "",
        *table(head, groups),
        "",
        *table(
            ["face", "angle", "ours (pitch, yaw)", "peer", "the eye's guess", "nearer", "seen"],
            [_gaze_cells(row) for row in figures["rows"]],
            words=["nearer", "seen"],
        ),
    ]
    if figures["missed"]:
        lines += ["", f"Not found, so not compared: {', '.join(figures['missed'])}."]
    live = figures["peer_run_here"]
    if "skipped" in live:
        lines += ["", f"The peer was not run here: {live['skipped']}."]
    else:
        lines += [
            "",
            f"The peer, run here on {live['faces']} faces, is a median {live['median_deg']:.2f}° "
            f"from its stored answers (worst {live['worst_deg']:.1f}°, {live['worst']}).",
        ]
    return lines


def _gaze_cells(row: Mapping[str, Any]) -> list[object]:
    seen = ", ".join([*(tag.replace("_", " ") for tag in row["tags"]), row["looks"]])
    return [
        f"{row['photo']} {row['face']}",
        f"{row['angle_deg']:.1f}°",
        *(_pair(row.get(key)) for key in ("ours_deg", "peer_deg", "judged_deg")),
        row.get("nearer", "–"),
        seen,
    ]


def _pair(pitch_yaw_deg: Sequence[float] | None) -> str:
    if pitch_yaw_deg is None:
        return "–"
    return ", ".join(f"{value:+.0f}°" for value in pitch_yaw_deg)


def _mirror(figures: Mapping[str, Any]) -> list[str]:
    return [
        "### Mirrored photographs",
        "",
        "Between the gaze and the mirrored gaze of the mirrored picture: median "
        f"{figures['median_deg']:.1f}°, worst {figures['worst_deg']:.1f}° "
        f"({figures['worst_face']}), over {figures['faces']} faces.",
    ]


def _stability(figures: Mapping[str, Any]) -> list[str]:
    photos, clip = figures["photographs"], figures["clip"]
    rows = [
        [name, f["frames"], f"{f['pitch_deg']:.2f}°", f"{f['yaw_deg']:.2f}°"]
        for name, f in photos["photos"].items()
    ]
    lines = ["### Stability, before any smoothing", ""]
    if rows:
        unmoved = figures["noise_alone"]
        lines += [
            f"A photograph, fitted into 1280×720, {photos['frames']} times with fresh noise "
            f"({NOISE_GREY_LEVELS:g} of 255) and shifts of up to {SHIFT_PX:g} px: standard "
            "deviation of pitch median "
            f"{photos['pitch_deg']['median']:.2f}°, worst {photos['pitch_deg']['worst']:.2f}°; of "
            f"yaw {photos['yaw_deg']['median']:.2f}° and {photos['yaw_deg']['worst']:.2f}°.",
            "",
            *table(["photograph", "frames", "pitch", "yaw"], rows),
            "",
            f"With the noise alone: pitch median {unmoved['pitch_deg']['median']:.2f}°, worst "
            f"{unmoved['pitch_deg']['worst']:.2f}°; yaw {unmoved['yaw_deg']['median']:.2f}° and "
            f"{unmoved['yaw_deg']['worst']:.2f}°.",
            "",
        ]
    if "skipped" in clip:
        return [*lines, f"No clip: {clip['skipped']}."]
    return [
        *lines,
        f"The stillest {clip['frames']} frames of {clip['clip']} (from {clip['start_s']:.1f} s; "
        f"the face still strays by {100 * clip['strays_by']:.0f} % of the distance between its "
        f"eyes' outer corners): pitch {clip['pitch_deg']:.2f}°, yaw {clip['yaw_deg']:.2f}°; beside "
        f"a steady drift {clip['pitch_without_drift_deg']:.2f}° and "
        f"{clip['yaw_without_drift_deg']:.2f}°. The person moves: real movement is in it.",
    ]


def _speed(figures: Mapping[str, Any]) -> list[str]:
    lines = ["### Speed and memory", ""]
    if "skipped" in figures:
        return [*lines, f"Not measured: {figures['skipped']}."]
    return [
        *lines,
        *table(
            ["1280×720, one face", "followed", "each image alone"],
            [
                [f"frames a second, {figures['threads']} CPU threads at most"]
                + [f"{figures[key]:.0f}" for key in ("followed_fps", "each_alone_fps")]
            ],
        ),
        "",
        f"Peak memory of the whole `clipgaze bench` process: {figures['peak_rss_mb']:.0f} MB.",
    ]

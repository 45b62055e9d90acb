"""The commands that turn this computer's webcam and microphone into LSL streams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from acquisition.publish.capture import Publishing

Loop = Annotated[bool, typer.Option("--loop", help="Begin a file again at its end.")]
List = Annotated[bool, typer.Option("--list", help="List the devices and end.")]


def register(app: typer.Typer) -> None:
    """Add ``publish`` with a command a device."""
    group = typer.Typer(
        help="Publish webcam or microphone, or a file, as an LSL stream.\n\n"
        "Examples:\n\n"
        "  affectscope publish webcam\n\n"
        "  affectscope publish microphone --device speech.wav --loop\n\n"
        "  affectscope publish --stop",
        rich_markup_mode=None,
    )
    group.callback(invoke_without_command=True)(publish)
    group.command()(webcam)
    group.command()(microphone)
    app.add_typer(group, name="publish")


def publish(
    context: typer.Context,
    stop: Annotated[
        bool,
        typer.Option("--stop", help="End the publishers that a crashed `affectscope live` left behind."),
    ] = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    if not stop:
        print(context.get_help())
        return
    from acquisition.publish.process import stop_publishers

    stopped = stop_publishers()
    for entry in stopped:
        print(f"ended: {entry}")
    if not stopped:
        print("No publisher was running in the background.")


def webcam(
    device: Annotated[str, typer.Option(help="Camera number, or a video file.")] = "0",
    loop: Loop = False,
    list_devices: List = False,
    name: Annotated[str, typer.Option(help="The stream's name.")] = "Affectscope webcam",
    fps: Annotated[float, typer.Option(min=0, help="Frames a second; 0 takes what the camera gives.")] = 0.0,
    max_width: Annotated[int, typer.Option(min=64, help="Scale wider frames down to this, pixels.")] = 640,
    quality: Annotated[int, typer.Option(min=1, max=100, help="JPEG quality.")] = 85,
) -> None:
    """Publish a camera, or a video file, as JPEG frames.

    A file is played in real time in place of the camera. Ctrl-C ends it.

    Examples:

      affectscope publish webcam --list

      affectscope publish webcam --device 1 --fps 15

      affectscope publish webcam --device face.mp4 --loop
    """
    from acquisition.publish.webcam import camera_from_text, list_cameras, publish_webcam

    if list_devices:
        cameras = list_cameras()
        for camera in cameras:
            rate = f" at {camera.fps:g} frames/s" if camera.fps > 0 else ""
            print(f"{camera.index}: {camera.width} x {camera.height} px{rate}")
        if not cameras:
            print("No camera was found. Is one plugged in, and may this program use it?")
        return
    parsed = camera_from_text(device)
    with _publishing(name, loop) as publishing:
        publish_webcam(parsed, publishing, fps=fps, max_width=max_width, quality=quality)


def microphone(
    device: Annotated[
        str, typer.Option(help="default, a number, part of a device's name, or a WAV file.")
    ] = "default",
    loop: Loop = False,
    list_devices: List = False,
    name: Annotated[str, typer.Option(help="The stream's name.")] = "Affectscope microphone",
) -> None:
    """Publish a microphone, or a WAV file, as int16 samples.

    A file is played in real time in place of the microphone. Ctrl-C ends it.

    Examples:

      affectscope publish microphone --list

      affectscope publish microphone --device "USB Audio"

      affectscope publish microphone --device speech.wav --loop
    """
    from acquisition.publish.microphone import list_microphones, microphone_from_text, publish_microphone

    if list_devices:
        microphones = list_microphones()
        for entry in microphones:
            mark = "  (default)" if entry.is_default else ""
            print(
                f"{entry.index}: {entry.name}, {entry.host}, {entry.n_channels} ch, {entry.sfreq:g} Hz{mark}"
            )
        if not microphones:
            print("No microphone was found. Is one plugged in, and may this program use it?")
        return
    parsed = microphone_from_text(device)
    with _publishing(name, loop) as publishing:
        publish_microphone(parsed, publishing)


@contextmanager
def _publishing(name: str, loop: bool) -> Iterator[Publishing]:
    """Publish until the end of the file or Ctrl-C."""
    from acquisition.process import interruptible
    from acquisition.publish.capture import Publishing

    with interruptible() as interrupted:
        yield Publishing(interrupted.is_set, partial(print, flush=True), name=name, loop=loop)
    print("The stream has ended.")

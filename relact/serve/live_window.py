"""The window of `relact live`."""

import contextlib
import gc
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from relact.data.sampling import Size
from relact.errors import InputError
from relact.serve.live import LiveRun

CLOSING_KEYS = ("q", "<Escape>")
_POLL_MS = 10
_SCREEN = 0.9
"""How much of the screen the window has at most when it opens."""


def run_window(run: LiveRun) -> None:
    """Shows a run until its source ends, the window is closed (its cross, q, Esc), or SIGINT or SIGTERM comes.

    Raises InputError where there can be no window.
    """
    try:
        _show(run)
    finally:
        gc.collect()  # Tk must be freed by the thread that made it: where another one's collection does, it aborts


def _show(run: LiveRun) -> None:
    try:
        import tkinter

        from PIL import Image, ImageTk
    except ImportError as error:
        raise InputError(
            f"--window: {error.name} is not installed (Debian: apt install python3-tk python3-pil.imagetk); "
            "without --window the pictures are shown on a page"
        ) from error
    try:
        root = tkinter.Tk()
    except tkinter.TclError as error:
        raise InputError(
            f"--window: there is no display here ({error}); without --window the pictures are shown on a page"
        ) from error
    root.title(f"{run.name} · relact live")
    root.configure(background="black")
    screen = round(_SCREEN * root.winfo_screenwidth()), round(_SCREEN * root.winfo_screenheight())
    width, height = run.view_size
    opening = fitting(run.view_size, screen) if width > screen[0] or height > screen[1] else run.view_size
    root.geometry(f"{opening[0]}x{opening[1]}")
    label = tkinter.Label(root, borderwidth=0, background="black")
    label.place(relwidth=1, relheight=1)  # so that the picture follows the window, which its owner sizes
    shown: dict[str, Any] = {"number": 0, "closed": False}

    def close(_: object = None) -> None:
        shown["closed"] = True
        run.stop()

    def draw() -> None:
        if shown["closed"] or not run.running:
            root.destroy()
            return
        newest = run.view.picture(shown["number"])
        if newest is not None:
            shown["number"], picture = newest
            image, room = Image.fromarray(picture), (label.winfo_width(), label.winfo_height())
            size = fitting(image.size, room)
            image = image if size == image.size else image.resize(size)
            shown["photo"] = ImageTk.PhotoImage(image)  # Tk itself keeps no reference
            label.configure(image=shown["photo"])
        root.after(_POLL_MS, draw)

    for key in CLOSING_KEYS:
        root.bind(key, close)
    root.protocol("WM_DELETE_WINDOW", close)
    run.start()
    root.after(_POLL_MS, draw)
    try:
        with _on_signals(close):
            root.mainloop()
    finally:
        run.stop()


def fitting(size: Size, room: Size) -> Size:
    """The largest size of the same shape that has room."""
    scale = min(room[0] / size[0], room[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@contextlib.contextmanager
def _on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """While it lasts, SIGINT and SIGTERM call this: an exception inside Tk's callbacks would be printed, and lost."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: stop()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""The window of `relact live`."""

from typing import Any

from relact.errors import InputError
from relact.serve.live import LiveRun

_POLL_MS = 10


def run_window(run: LiveRun) -> None:
    """Shows a run until its source ends or the window is closed. Raises InputError where there can be no window."""
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
    label = tkinter.Label(root, borderwidth=0, background="black")
    label.pack(fill="both", expand=True)
    shown: dict[str, Any] = {"number": 0}

    def draw() -> None:
        if not run.running:
            root.destroy()
            return
        newest = run.view.picture(shown["number"])
        if newest is not None:
            shown["number"], picture = newest
            shown["photo"] = ImageTk.PhotoImage(Image.fromarray(picture))  # Tk itself keeps no reference
            label.configure(image=shown["photo"])
        root.after(_POLL_MS, draw)

    run.start()
    root.after(_POLL_MS, draw)
    try:
        root.mainloop()
    except KeyboardInterrupt:
        root.destroy()
    finally:
        run.stop()

"""The one error that users meet: what happened, where, what was expected, what to do."""


class InputError(ValueError):
    """Bad input of a user's: a file, a value or a combination that cannot be used.

    The message says where (file and line, frame or second), what was expected and what came, and what to do. The
    command line prints it without a traceback and ends with status 1 (one of several inputs) or 2 (unusable arguments).
    """


def at(path: object, line: int | None = None) -> str:
    """`file` or `file line 12`, the way that every message names a place."""
    return f"{path}" if line is None else f"{path} line {line}"

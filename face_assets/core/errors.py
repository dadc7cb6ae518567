"""Errors that a user can fix, each with a message that names what was found and the next step."""

from collections.abc import Iterator

from face_assets.core.outside_text import shown_lines


class UserError(Exception):
    """Something outside the code is wrong: a file, a setting, a service. Its message is shown without a traceback.

    Each argument is a line; characters in it that could forge another are escaped, since it may quote names from outside.
    """

    def __str__(self) -> str:
        return shown_lines(self.args)


class RefusedError(UserError):
    """The platform rejected a candidate, its photos or a request: the live release stays."""


class UnreachableError(UserError):
    """A service is not reachable now; a later try may succeed."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields the error and those that caused it, down to the first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

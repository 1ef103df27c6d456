"""The directory of a private server: nothing is removed but what was made, and no link is followed.

Another user may be able to write beside it. So its name is known to nobody before it exists, and
afterwards it is reached by a descriptor: what others put in the place of the name does not matter.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from typing import Final

from multihost.errors import ServerUnfit
from multihost.pipes import close_pipe, move_up

__all__ = ["SOCKET_NAME", "SOCKET_PATH_MAX", "Home", "NameTaken", "temporary_directory"]

# ``sun_path`` holds 108 bytes on Linux and 104 on macOS, the closing NUL among them.
SOCKET_PATH_MAX: Final = 103
SOCKET_NAME: Final = "server.sock"
NAME: Final = "multihost-{}"
RANDOM: Final = 8  # bytes
TEMPORARY: Final = ("/tmp", "/var/tmp")  # noqa: S108 - for a random name, of mode 0700


class NameTaken(Exception):
    """Something has that name already."""


class Home:
    """A directory that only this user may enter, with the socket of a server.

    ``mark`` names a file in it. Who comes by the name of the directory sees by that file whether it
    is the one that was made.
    """

    def __init__(self, parent: str, prefix: str = "") -> None:
        self.path: str = os.path.join(parent, prefix + NAME.format(_random()))
        self.socket: str = os.path.join(self.path, SOCKET_NAME)
        self.mark: str = f"made-{_random()}"
        self._fd = -1

    def make(self) -> None:
        """Make the directory, and the mark. Raises NameTaken, OSError, and ServerUnfit if another
        user has put something in its place meanwhile.
        """
        try:
            os.mkdir(self.path, 0o700)
        except FileExistsError:
            raise NameTaken(self.path) from None
        try:
            self._fd = move_up(os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW))
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.ENOENT):
                raise
            raise self._replaced() from None
        if os.fstat(self._fd).st_uid != os.geteuid() or os.listdir(self._fd):
            close_pipe(self._fd)
            self._fd = -1
            raise self._replaced()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        os.close(os.open(self.mark, flags, 0o600, dir_fd=self._fd))

    def _replaced(self) -> ServerUnfit:
        return ServerUnfit(
            f"another user replaced the directory {self.path}, which had just been made: have "
            "TMPDIR name one that others cannot write to"
        )

    def erase_mark(self) -> None:
        """Remove the mark: everybody who comes by the name has been there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.mark, dir_fd=self._fd)

    def has_socket(self) -> bool:
        """Return True if the server's socket is in the directory."""
        return self._socket() is not None

    def publish(self, path: str) -> None:
        """Give the socket a second name, elsewhere on the file system. Raises OSError, also if
        something has that name.
        """
        os.link(SOCKET_NAME, path, src_dir_fd=self._fd, follow_symlinks=False)

    def remove(self, published: str = "") -> None:
        """Remove the second name of the socket, the socket, and the directory, unless there is
        something else in it. A second call does nothing.
        """
        if self._fd < 0:
            return
        if published and _is_same(self._socket(), _look(published)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(published)
        for name in (SOCKET_NAME, self.mark):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._fd)
        name = os.path.join("..", os.path.basename(self.path))
        if _is_same(os.fstat(self._fd), _look(name, self._fd)):
            try:
                os.rmdir(name, dir_fd=self._fd)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                    raise
        close_pipe(self._fd)
        self._fd = -1

    def _socket(self) -> os.stat_result | None:
        found = _look(SOCKET_NAME, self._fd)
        return found if found is not None and stat.S_ISSOCK(found.st_mode) else None


def _look(name: str, directory: int | None = None) -> os.stat_result | None:
    """Return what has that name, be it a link; None if nothing has."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_same(one: os.stat_result | None, other: os.stat_result | None) -> bool:
    return one is not None and other is not None and os.path.samestat(one, other)


def _random() -> str:
    return os.urandom(RANDOM).hex()


def temporary_directory() -> str:
    """Return the directory for temporary files: one in which the path of a socket in a home is
    short enough.
    """
    # What the program set in ``tempfile`` counts; that module is not imported, it is slow.
    tempfile = sys.modules.get("tempfile")
    chosen = [tempfile and tempfile.tempdir, *map(os.environ.get, ("TMPDIR", "TEMP", "TMP"))]
    roots = [os.path.abspath(os.fsdecode(root)) for root in chosen if root] + list(TEMPORARY)
    inside = os.path.join("", NAME.format("0" * 2 * RANDOM), SOCKET_NAME)
    for root in roots:
        if (
            len(os.fsencode(os.path.join(root, inside))) <= SOCKET_PATH_MAX
            and os.path.isdir(root)
            and os.access(root, os.W_OK | os.X_OK)
        ):
            return root
    raise ServerUnfit(f"no directory for a socket: none of {', '.join(roots)} can be written to")

"""Requests to object stores: retried while an error may be temporary, and reported without credentials."""

from __future__ import annotations

import errno
import logging
import os
import random
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from .environment import hidden
from .errors import DataError, SynthForgeError

RETRIED = "SYNTHFORGE_RETRIED"  # variable: a file to which every process appends a byte for each failed try
log = logging.getLogger(__name__)
T = TypeVar("T")

_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|CREDENTIAL|_KEY", re.IGNORECASE)


@dataclass(frozen=True)
class Patience:
    """How often a request is tried, and the seconds between tries: doubled each time, up to `most`."""

    tries: int = 8
    first: float = 0.2
    most: float = 10.0

    def wait(self, failed: int) -> float:
        """Seconds before the next try; random, so that many clients do not retry at once."""
        return min(self.most, self.first * 2 ** (failed - 1)) * random.SystemRandom().uniform(0.5, 1.0)


PATIENCE = Patience()


def scrubbed(text: str) -> str:
    """A text without credentials: those in URLs, and values of environment variables named like one."""
    text = re.sub(r"//[^/\s@]+@", "//", hidden(text))
    text = re.sub(r"\?[^\s'\"]*=[^\s'\"]*", "?...", text)
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) >= 8:
            text = text.replace(value, "...")
    return text


def code_of(error: BaseException | None) -> str:
    """The store's error code, as botocore stores it; empty if there is none."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        error = error.__cause__ or error.__context__
    return ""


_FINAL = (FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError)
_DENIED = {"AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
_LIBRARIES = {"http", "aiohttp", "aiobotocore", "botocore", "urllib3", "requests", "gcsfs", "google", "azure"}
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "TokenRetrievalError"}


def _may_pass(error: BaseException) -> bool:
    """Whether a retry of the request may succeed."""
    if isinstance(error, _FINAL) or type(error).__name__ in _NO_CREDENTIALS or code_of(error) in _DENIED:
        return False
    if isinstance(error, OSError):
        return error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG)
    return isinstance(error, TimeoutError) or type(error).__module__.partition(".")[0] in _LIBRARIES


def _told(error: BaseException, where: object) -> Exception:
    """An error of a store as one of ours; a missing object stays FileNotFoundError."""
    code, name = code_of(error), type(error).__name__
    if code == "NoSuchBucket":
        return DataError(f"{where}: there is no such bucket", hint="Create it with the store's own tools first.")
    if isinstance(error, (FileNotFoundError, FileExistsError)):
        return error
    if isinstance(error, PermissionError) or code in _DENIED or name in _NO_CREDENTIALS:
        reason = scrubbed(str(error)) or code
        return DataError(f"{where}: access denied: {reason}", hint="Check the credentials and their permissions.")
    return SynthForgeError(
        f"{where}: no valid answer from the store: {name}: {scrubbed(str(error))[:300]}",
        hint="Everything finished before is intact: run the same command again to continue.",
    )


def _count() -> None:
    """Count a failed try for `--metrics`, over all processes of this machine that the command started."""
    with suppress(KeyError, OSError):
        file = os.open(os.environ[RETRIED], os.O_WRONLY | os.O_APPEND)  # a file that was deleted is not created again
        try:
            os.write(file, b".")
        finally:
            os.close(file)


def steadily(where: object, call: Callable[[], T]) -> T:
    """The result of a request, retried as `PATIENCE` sets. Raises DataError and SynthForgeError.

    FileNotFoundError and FileExistsError pass through.
    """
    for failed in range(1, PATIENCE.tries + 1):
        try:
            return call()
        except SynthForgeError:
            raise
        except Exception as error:  # errors of many libraries; any other that is not temporary is a bug of ours
            ours = not (_may_pass(error) or isinstance(error, OSError) or type(error).__name__ in _NO_CREDENTIALS)
            if ours:
                raise
            if failed == PATIENCE.tries or not _may_pass(error):
                raise _told(error, where) from error
            wait = PATIENCE.wait(failed)
            details = f"{type(error).__name__}: {scrubbed(str(error))[:120]}"
            place = hidden(str(where))
            log.warning("%s: try %d of %d failed (%s), next in %.1f s", place, failed, PATIENCE.tries, details, wait)
            _count()
            time.sleep(wait)
    raise AssertionError("unreachable")

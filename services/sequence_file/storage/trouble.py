"""Errors of the operating system as faults of the context."""

import errno

from services.kernel.faults import Code, Fault
from services.sequence_file.domain import faults

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_NOT_A_FILE = {errno.ELOOP, errno.ENXIO, errno.ENOTDIR, errno.EISDIR, errno.ENODEV}


def reading_failed(file: str, error: OSError) -> Fault:
    """A file could not be read."""
    if error.errno in _NOT_A_FILE:
        return faults.unsafe_file(file, "it is a link, a pipe, a device or a folder where a file should be")
    if error.errno in _READ_ONLY:
        return faults.unsafe_file(file, "its mode does not let the server read it")
    return Fault(
        Code.UNAVAILABLE,
        "IO_ERROR",
        f"{file} could not be read: {_what(error)}",
        metadata={"file": file},
        retry_after=1.0,
    )


def writing_failed(file: str, error: OSError) -> Fault:
    """A change could not be written; the file is as before."""
    before = "nothing was changed"
    if error.errno in _FULL:
        return Fault(
            Code.RESOURCE_EXHAUSTED,
            "DISK_FULL",
            f"{file}: no space left to write the change; {before}. Free some space and try again",
            metadata={"file": file},
            retry_after=5.0,
        )
    if error.errno in _READ_ONLY:
        return read_only(file, _what(error))
    if error.errno in _NOT_A_FILE:
        return faults.unsafe_file(file, f"something else stands where a file or folder should be; {before}")
    if error.errno == errno.ENAMETOOLONG:
        return faults.unsafe_file(file, f"its name is too long for what has to stand beside it; {before}. Rename it")
    return Fault(
        Code.UNAVAILABLE,
        "IO_ERROR",
        f"{file}: the device reported an error ({_what(error)}); {before}",
        metadata={"file": file},
        retry_after=1.0,
    )


def read_only(file: str, why: str) -> Fault:
    """The file, its folder or its file system must not be written."""
    return Fault(
        Code.FAILED_PRECONDITION,
        "READ_ONLY",
        f"{file} cannot be written ({why}); nothing was changed. Check the mode and owner of the file and its folders",
        metadata={"file": file},
    )


def durability_unknown(file: str, error: OSError) -> Fault:
    """The change is in place, was not confirmed by the device, and could not be taken back."""
    return Fault(
        Code.INTERNAL,
        "DURABILITY_UNKNOWN",
        f"{file} holds the change now, but the device did not confirm it ({_what(error)}): a power cut may undo it",
        metadata={"file": file},
    )


def made_later(file: str, error: OSError) -> Fault:
    """The change was written down, not made, and could not be taken out of the log again."""
    return Fault(
        Code.INTERNAL,
        "DURABILITY_UNKNOWN",
        f"{file}: the device reported an error ({_what(error)}); nothing was changed yet, but the change is in the "
        "project's log and may be made by the next one who changes the file",
        metadata={"file": file},
    )


def file_busy(file: str) -> Fault:
    """Another program changed the file again and again while it was to be changed here."""
    return Fault(
        Code.UNAVAILABLE,
        "FILE_BUSY",
        f"{file}: another program keeps changing it; nothing was changed",
        metadata={"file": file},
        retry_after=0.5,
    )


def lock_lost(file: str) -> Fault:
    """The folder of the locks was deleted while the change was being written."""
    return Fault(
        Code.UNAVAILABLE,
        "FILE_BUSY",
        f"{file}: its lock was deleted while the change was being written; nothing was changed",
        metadata={"file": file},
        retry_after=0.1,
    )


def _what(error: OSError) -> str:
    return error.strerror or type(error).__name__

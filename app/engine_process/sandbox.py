"""
What an engine process gives up before it opens anybody's file.

A decoder with a hole in it is then worth little: it can start no program, look into no other process, gain
no privileges, and where it transcribes it has no network and changes no file. What the kernel won't do is left
out; nothing here needs privileges.
"""

import ctypes
import errno
import logging
import os
import resource
import signal
import struct

log = logging.getLogger(__name__)

MOST_FILES = 512  # one for each open session, and the libraries' own

PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
# Without it kernels before 5.16 switch off speculative loads: the model gets slower.
SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4

# Numbers of system calls on x86_64 and aarch64, from Linux's syscall_64.tbl and asm-generic/unistd.h; None where
# there is none. With each group, why.
Calls = dict[str, tuple[int | None, int | None]]
PROGRAMS: Calls = {"execve": (59, 221), "execveat": (322, 281)}
OTHER_PROCESSES: Calls = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kill": (62, 129),
}
KERNEL: Calls = {  # where holes were found before, and no engine has business
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),  # opens sockets and files past this filter, too
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_by_handle_at": (304, 265),
}
NETWORK: Calls = {"socket": (41, 198)}  # no socket is inherited, and without one there is nothing to connect
CHANGES: Calls = {
    "creat": (85, None),
    "truncate": (76, 45),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "link": (86, None),
    "linkat": (265, 37),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "chmod": (90, None),
    "fchmodat": (268, 53),
    "chown": (92, None),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "openat2": (437, 437),  # its flags stand where a filter can't look
}
OPENING = {"open": (2, None, 1), "openat": (257, 56, 2)}  # and which argument holds the flags
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

DENIED = {
    "whisper": PROGRAMS | OTHER_PROCESSES | KERNEL | NETWORK | CHANGES,
    "faster-whisper": PROGRAMS | OTHER_PROCESSES | KERNEL | NETWORK,  # GPUs are files that are written to
    "speech": PROGRAMS | OTHER_PROCESSES | KERNEL,  # gTTS needs the network, the neural voice its files
}
# uname's name for a processor: its column above, its AUDIT_ARCH in a filter, the number of seccomp(2)
PROCESSORS = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}
# Of the kernel's language: instructions, and offsets into struct seccomp_data (little-endian: low halves first)
LOAD, EQUAL, AT_LEAST, ANY_OF, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
ALLOW, DENY = 0x7FFF0000, 0x00050000 | errno.EPERM
X32 = 0x40000000  # x86_64's second set of numbers for the same calls


def confine(name: str, data_limit_mb: int | None) -> None:
    """
    Bound what this process may do, for good: it serves the engine *name*, or is "faster-whisper".

    Before any thread is started: each has its own filter, and inherits it from the one that starts it.
    """
    # A terminal or a host signals everyone; when to leave is the owner's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")  # the kernel ends this process, not its owner
    except OSError:  # raising one's own score is always allowed; a masked /proc may still refuse the write
        pass
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    files = min(MOST_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if data_limit_mb:
        resource.setrlimit(resource.RLIMIT_DATA, (data_limit_mb << 20, data_limit_mb << 20))
    if not filter_calls(name):
        log.info("this system does not filter system calls; the engine runs without")


def filter_calls(name: str) -> bool:
    """Have the kernel refuse what the engine *name* never asks for; whether it does."""
    processor = PROCESSORS.get(os.uname().machine)
    if processor is None:
        return False
    column, architecture, seccomp = processor
    instructions = program(name, column, architecture)
    code = ctypes.create_string_buffer(b"".join(instructions))
    described = struct.pack("HP", len(instructions), ctypes.addressof(code))  # struct sock_fprog
    library = ctypes.CDLL(None)
    if library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    return any(
        library.syscall(seccomp, SECCOMP_SET_MODE_FILTER, flags, described) == 0
        for flags in (SECCOMP_FILTER_FLAG_SPEC_ALLOW, 0)  # kernels before 4.17 don't know the flag
    )


def program(name: str, column: int, architecture: int) -> list[bytes]:
    """The filter for the engine *name* in the kernel's language (Documentation/networking/filter.rst)."""
    deny = (RETURN, 0, 0, DENY)
    # Code, how many instructions to pass over where it holds and where not, operand; each denial is passed over if not.
    code: list[tuple[int, int, int, int]] = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, architecture), deny]
    code += [(LOAD, 0, 0, NUMBER), (AT_LEAST, 0, 1, X32), deny]
    for call in DENIED[name].values():
        if (number := call[column]) is not None:
            code += [(EQUAL, 0, 1, number), deny]
    if name == "whisper":
        for *opening, argument in OPENING.values():
            if (number := opening[column]) is not None:
                code += [(EQUAL, 0, 4, number), (LOAD, 0, 0, ARGUMENTS + 8 * argument)]
                code += [(ANY_OF, 0, 1, WRITING), deny, (RETURN, 0, 0, ALLOW)]
    code.append((RETURN, 0, 0, ALLOW))
    return [struct.pack("HBBI", *instruction) for instruction in code]

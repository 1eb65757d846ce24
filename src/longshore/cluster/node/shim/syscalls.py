"""System calls that Python 3.11 does not offer. Linux only: importing it elsewhere fails when a function is called.

Numbers and flags are those of the kernel's uapi headers (sched.h, mount.h, prctl.h); man pages unshare(2), mount(2),
pivot_root(2), mount_setattr(2), setns(2), prctl(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2
_MNT_DETACH = 2
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 1
_SYS_MOUNT_SETATTR = 442  # the same on every architecture
_SYS_PIVOT_ROOT = 155 if platform.machine() == "x86_64" else 41  # 41: asm-generic (arm64, riscv64, ...)
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

# What a container runtime leaves to root: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE
# NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP (capability.h; containerd, pkg/oci, defaultUnixCaps).
_CAPABILITIES = frozenset((0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31))

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags` for new ones."""
    result = _libc.unshare(flags)
    if result < 0 and ctypes.get_errno() == errno.ENOSPC:  # it has nothing to do with a disk
        raise OSError(errno.ENOSPC, "unshare: no further namespaces are allowed (user.max_*_namespaces)")
    _check(result, "unshare")


def setns(descriptor: int) -> None:
    """Enter the namespace behind an open /proc/PID/ns file."""
    _check(_libc.setns(descriptor, 0), "setns")


def sethostname(name: str) -> None:
    encoded = name.encode()
    _check(_libc.sethostname(encoded, len(encoded)), "sethostname")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    result = _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _check(result, f"mount {source} at {target}")


def detach(target: str) -> None:
    """Unmount lazily."""
    _check(_libc.umount2(target.encode(), _MNT_DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    _check(_libc.syscall(_SYS_PIVOT_ROOT, new.encode(), old.encode()), f"pivot_root {new}")


def set_readonly(target: str, readonly: bool) -> None:
    """Make one mount read-only or writable."""
    flags = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)  # locked ones may not be dropped
    mount("none", target, flags=MS_REMOUNT | MS_BIND | flags | (MS_RDONLY if readonly else 0))


def set_readonly_below(target: str) -> None:
    """Make a mount and all that is mounted below it read-only; kernels before 5.12 cannot, and it stays as it was."""
    attr = _MountAttr(attr_set=_MOUNT_ATTR_RDONLY)
    size = ctypes.c_size_t(ctypes.sizeof(attr))
    arguments = (_AT_FDCWD, target.encode(), _AT_RECURSIVE, ctypes.byref(attr), size)
    result = _libc.syscall(_SYS_MOUNT_SETATTR, *arguments)
    if result == 0 or ctypes.get_errno() != errno.ENOSYS:
        _check(result, f"mount_setattr {target}")


def punch_hole(descriptor: int, start: int, size: int) -> None:
    """Give this part of a file back to the disk; it reads as zeros, and all else stays where it is (fallocate(2))."""
    mode = _FALLOC_FL_KEEP_SIZE | _FALLOC_FL_PUNCH_HOLE
    _check(_libc.fallocate(descriptor, mode, ctypes.c_int64(start), ctypes.c_int64(size)), "fallocate")


def become_subreaper() -> None:
    """Orphans below this process become its children rather than those of init."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def forget_signals() -> None:
    """Take every signal as a new program should: Python ignores some, and who started us in the background others."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)


def die_with_parent() -> None:
    """SIGKILL for this process when the one that forked it ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0), "prctl")


def forbid_new_privileges() -> None:
    """setuid programs and file capabilities give nothing from here on."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def limit_capabilities() -> None:
    """What root executes may do what root in a container may, and not unmount or remount. Others may nothing anyway."""
    number = 0  # past the kernel's last one reading fails
    while os.geteuid() == 0 and (has := _libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0)) >= 0:
        if has and number not in _CAPABILITIES:
            _check(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), "prctl")
        number += 1


def hide() -> None:
    """Keep our peers from our descriptors in /proc: those of a folder lead to the folders above it."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl")


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")

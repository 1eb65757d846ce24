"""Becomes a command as a user whom the kernel lets make no namespaces: `confined.py COMMAND...`.

That user lives in a user namespace of our making, which allows no further ones. For the kernel it is still us.
"""

import os
import sys
from pathlib import Path

from longshore.cluster.node.shim import syscalls

SOMEBODY = 1000


def main() -> None:
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    for path, content in (
        ("/proc/self/setgroups", "deny"),
        ("/proc/self/uid_map", f"{SOMEBODY} {uid} 1"),
        ("/proc/self/gid_map", f"{SOMEBODY} {gid} 1"),
        ("/proc/sys/user/max_user_namespaces", "0"),
    ):
        Path(path).write_text(content)
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()

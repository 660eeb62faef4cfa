"""Which addresses a process and those that it started listen at, from /proc."""

import ipaddress
import pathlib
import re


def listening(pid: int) -> list[tuple[str, int]]:
    """(address, port) of every TCP socket at which they listen."""
    inodes = {
        inode
        for each in descendants(pid)
        for inode in re.findall(r'socket:.(\d+)', _links(f'/proc/{each}/fd'))
    }
    found = []
    for table in ('tcp', 'tcp6'):
        for line in pathlib.Path(f'/proc/net/{table}').read_text().splitlines()[1:]:
            local, _, state, *_ = (fields := line.split())[1:]
            if state == '0A' and fields[9] in inodes:
                host, port = local.split(':')
                found.append((_address(host), int(port, 16)))
    return found


def descendants(pid: int) -> set[int]:
    """A process, those that it started, those that they did, and so on."""
    parents = {}
    for path in pathlib.Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = path.read_text().rpartition(')')[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    found, more = set(), {pid}
    while more:
        found |= more
        more = {child for child, parent in parents.items() if parent in more} - found
    return found


def _links(folder: str) -> str:
    """What the links of a folder lead to."""
    found = []
    for path in pathlib.Path(folder).glob('*'):
        try:
            found.append(str(path.readlink()))
        except OSError:  # Closed meanwhile.
            continue
    return ' '.join(found)


def _address(text: str) -> str:
    """An address of /proc/net: words of four bytes, the lowest first."""
    raw = bytes.fromhex(text)
    data = b''.join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    address = ipaddress.ip_address(data)
    return str(getattr(address, 'ipv4_mapped', None) or address)

"""Keys of config.json that are nearly one of the specification's: ignored as it asks, but not in silence."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KNOWN = {
    "": "ociVersion process root hostname domainname mounts hooks annotations linux solaris windows vm zos freebsd",
    "process": "terminal consoleSize user args commandLine env cwd capabilities rlimits noNewPrivileges "
    "apparmorProfile oomScoreAdj scheduler selinuxLabel ioPriority execCPUAffinity",
    "linux": "uidMappings gidMappings sysctl resources cgroupsPath namespaces devices netDevices seccomp "
    "rootfsPropagation maskedPaths readonlyPaths mountLabel intelRdt memoryPolicy personality timeOffsets",
}


def warnings(config: "dict[str, Any]") -> list[str]:
    """One sentence for each unknown key that is a letter off a known one."""
    found = []
    for place, words in _KNOWN.items():
        part = config.get(place) if place else config
        if not isinstance(part, dict):
            continue
        known = set(words.split())
        for key in part.keys() - known:
            for word in known:
                if nearly(key, word):
                    where = f"{place}.{key}" if place else key
                    found.append(f'config.json: the specification has no "{where}", it is ignored: perhaps "{word}"?')
    return sorted(found)


def nearly(one: str, other: str) -> bool:
    """Whether one letter more, less, other, of other case or in another's place makes one into the other."""
    if one.lower() == other.lower():
        return one != other
    short, long = sorted((one, other), key=len)
    if len(long) - len(short) > 1:
        return False
    start = 0
    while start < len(short) and short[start] == long[start]:
        start += 1
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    swapped = short[start : start + 2] == long[start : start + 2][::-1] and short[start + 2 :] == long[start + 2 :]
    return short[start + 1 :] == long[start + 1 :] or swapped

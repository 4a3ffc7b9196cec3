"""`smith lock`: the lock of what a build of this spec takes today."""

from smith import applications, builder, hostlock, lock, locked
from smith.cache import Cache
from smith.errors import ConfigError
from smith.lock import Lock
from smith.origin import decide
from smith.presets import expand
from smith.progress import Progress
from smith.spec import Spec


def of_today(spec: Spec, vendor: str, cache: Cache, progress: Progress) -> Lock:
    """Load all inputs anew and write them down; with `vendor` keep them there, too. SmithError as loading does."""
    spec = decide(expand(spec)).spec
    if not spec.type:
        raise ConfigError(f"{spec.file}: takes nothing but rootfs/, so there is nothing to lock")
    if spec.type == "host":
        prepared = builder.prepare(spec, cache, progress, builder.load_fresh)
        made = hostlock.make(spec, prepared.selection, prepared.source, vendor)
    elif spec.mock.debuginfo:
        # Which debug packages are taken depends on the files that are chosen.
        made = lock.make(spec, builder.prepare(spec, cache, progress, builder.load_fresh).source)
    else:
        source = builder.load_fresh(spec, cache, progress)
        applications.add(spec, source, cache, progress)
        made = lock.make(spec, source)
    if not vendor:
        return made
    locked.bring(made, spec, cache, progress)
    return locked.vendor(made, vendor, spec.directory, cache)

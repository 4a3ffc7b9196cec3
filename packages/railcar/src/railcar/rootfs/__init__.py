"""A container's root: decided as a plan (pure), then done by descriptors only.

In stage 1, before the clone::

    plan = rootfs.plan(config, bundle, no_pivot=False, cgroup_mounts=cgroup_mounts)   # ConfigError
    sources = rootfs.open_sources(plan)   # StepError; sources.close() after the clone

In stage 2, in the new namespaces, with the ids that own them::

    builder = rootfs.Builder(plan, sources)
    builder.mount()        # the root, mounts, devices, links, working directory; the process still has the host's root
    ...                    # "mounts done"; the host's hooks; createContainer hooks; a console, with builder.root_fd
    builder.enter()        # names, sysctl, read-only paths, masks; pivot_root: from here on / is the container's

Every failure is a StepError with step, subject and errno. Nothing is imported after the clone.
"""

from railcar.rootfs.build import Builder
from railcar.rootfs.mount import Mount
from railcar.rootfs.planning import Plan, plan
from railcar.rootfs.sources import Sources, open_sources

__all__ = ["Builder", "Mount", "Plan", "Sources", "open_sources", "plan"]

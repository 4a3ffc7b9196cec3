"""An OCI runtime in pure Python: a drop-in for runc, and a library.

    import railcar

    with railcar.Container.create("/path/of/bundle") as container:
        container.start()
        print(container.exec(["/bin/echo", "hello"]).stdout)

The command starts by importing this package, so the library is loaded when one of its names is first used.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from railcar.errors import ConfigError, ContainerMissing, RailcarError, StepError, UsageError
    from railcar.library import Container, Event, ExecResult, shutdown

__all__ = [
    "ConfigError",
    "Container",
    "ContainerMissing",
    "Event",
    "ExecResult",
    "RailcarError",
    "StepError",
    "UsageError",
    "__version__",
    "shutdown",
]

_ERRORS = ("ConfigError", "ContainerMissing", "RailcarError", "StepError", "UsageError")


if not TYPE_CHECKING:  # a type checker would take every name for one that is there

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'railcar' has no attribute {name!r}")
        module = __import__("railcar.errors" if name in _ERRORS else "railcar.library", fromlist=[name])
        return getattr(module, name)

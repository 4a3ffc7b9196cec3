"""ELF files and what they need: `closure(tree, roots)` is the whole of it for most callers."""

from smith.elf.closure import Closure, Linker, Missing, Need, closure
from smith.elf.read import Dlopen, Elf, is_elf, read

__all__ = ["Closure", "Dlopen", "Elf", "Linker", "Missing", "Need", "closure", "is_elf", "read"]

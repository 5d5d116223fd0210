"""Models by `models_path`: imports what it is told to, nothing else, and returns the models in it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from psqlmodel.core.beginning import check_text
from psqlmodel.errors import ConfigurationError
from psqlmodel.model.mapper import Mapper


def find_models(paths: Iterable[str]) -> list[type]:
    """Return the model classes of modules (`myapp.models`), files (`models.py`) and folders of files.

    Raises `ConfigurationError` where one does not exist or holds no model; what an import raises goes
    through.
    """
    found: dict[type, None] = {}
    for path in paths:
        models = [model for module in _modules(path) for model in _models_in(module)]
        if not models:
            raise ConfigurationError(f"models_path {path!r} holds no model")
        found.update(dict.fromkeys(models))
    return list(found)


def _models_in(module: ModuleType) -> list[type]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and isinstance(value.__dict__.get("__mapper__"), Mapper)
    ]


def _modules(path: str) -> Iterator[ModuleType]:
    place = Path(check_text("models_path", path))
    try:
        is_folder, _ = place.is_dir(), place.is_file()
    except OSError as error:  # a name that is too long, or a folder that is closed to us
        raise ConfigurationError(f"models_path {path!r} can't be looked at: {error.strerror}") from error
    if is_folder:
        for file in sorted(place.glob("*.py")):
            yield _import_file(file)
    elif place.suffix == ".py":
        yield _import_file(place)
    else:
        yield _import_name(path)


def _import_name(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise _missing(name)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise _missing(name) from error
        raise


def _missing(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"models_path {name!r} is neither a module that can be imported, nor a file, nor a folder"
    )


def _import_file(file: Path) -> ModuleType:
    """Import a file, as part of its package where it is in one, and once only."""
    resolved = file.resolve()
    if not resolved.is_file():
        raise ConfigurationError(f"models_path {str(file)!r} does not exist")
    for module in list(sys.modules.values()):
        known = getattr(module, "__file__", None)
        if known is not None and known.endswith(resolved.name) and Path(known).resolve() == resolved:
            return module
    name, root = _dotted_name(resolved)
    if "." in name or resolved.name == "__init__.py":
        return _import_below(root, name)
    spec = importlib.util.spec_from_file_location(name, resolved)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import_below(root: Path, name: str) -> ModuleType:
    """Import a module of a package whose folder need not be on `sys.path`."""
    sys.path.insert(0, str(root))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(root))


def _dotted_name(file: Path) -> tuple[str, Path]:
    """Return the name under which a file is imported, and the folder that holds its outermost package."""
    parts = [] if file.name == "__init__.py" else [file.stem]
    folder = file.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    name = ".".join(parts)
    taken = "." not in name and (name in sys.modules or importlib.util.find_spec(name) is not None)
    return (f"psqlmodel_models_{name}" if taken and file.name != "__init__.py" else name), folder

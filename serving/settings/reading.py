"""How settings are read and refused: the environment, `maximus.toml`, and an error that names what its author wrote.

Belongs here: files, variables, the nearest name to one that is misspelt. Does not: which settings there are. Values are
never repeated in an error, for any of them may be a secret.
"""

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from maximus_assets.contracts.errors import BadInputError

_PREFIX: Final = "MAXIMUS_"


def refuse_unknown_variables(environ: Mapping[str, str], known: Sequence[str]) -> None:
    """Make sure that no variable of ours is misspelt.

    Args:
        environ: The environment.
        known: Every variable there is.

    Raises:
        BadInputError: There is one we do not know; it names the nearest.
    """
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in known:
            raise BadInputError(
                f"there is no such setting{_closest(name, known)}", source="the environment", column=name
            )


def read_file(file: Path, known: Sequence[str]) -> dict[str, Any]:
    """The file as one flat mapping of dotted keys; empty when there is no file.

    Args:
        file: TOML.
        known: Every key there is.

    Raises:
        BadInputError: It cannot be read, or has a key that is not known.
    """
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInputError(f"cannot be read: {error}", source=str(file)) from error
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            flat.update({f"{key}.{inner}": inner_value for inner, inner_value in value.items()})
        else:
            flat[key] = value
    for key in flat:
        if key not in known:
            message = f"there is no such setting{_closest(key, known)}"
            raise BadInputError(message, source=str(file), column=key)
    return flat


def read_json(value: str, variable: str) -> object:
    """A variable's JSON.

    Raises:
        BadInputError: It is none.
    """
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise BadInputError(f"is not JSON: {error}", source="the environment", column=variable) from error


def explained(
    error: ValidationError,
    origin: Mapping[str, tuple[str, str]],
    tables: Mapping[str, Sequence[type[BaseModel]]],
) -> BadInputError:
    """The most telling of a validation's errors, by the name its author wrote; never with the value, which may be a secret.

    Args:
        error: Of the settings.
        origin: Field -> where it was written, and under which name.
        tables: Fields that are lists of tables -> the types whose fields may stand in them.
    """
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    # A name that is misspelt is also one that is missing: the misspelling is what helps.
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    field, *inner = [str(part) for part in first["loc"]]
    source, name = origin.get(field, ("the settings", field))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        known = [entry for kind in tables.get(field, ()) for entry in kind.model_fields]
        message = f"there is no such setting{_closest(inner[-1] if inner else field, known)}"
    return BadInputError(message, source=source, column=".".join([name, *inner]))


def _closest(name: str, known: Sequence[str]) -> str:
    match = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {match[0]}?" if match else ""

"""Asks the gateway, and says in one sentence when it cannot be asked."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from maximus_assets.contracts.errors import Permanent, Retryable
from serving import settings as settings_module
from serving.cli.exits import UnreachableError
from serving.settings import Settings


@cache
def settings() -> Settings:
    """The settings in force for this command.

    The project is the folder with a `maximus.toml` or a `pyproject.toml` we are called in, else the one this program
    was installed from.

    Raises:
        BadInputError: One of them is unknown or wrong.
    """
    here = Path.cwd()
    installed = Path(settings_module.__file__).parents[2]
    root = here if (here / settings_module.FILE_NAME).exists() else installed
    return settings_module.load(os.environ, root)


def gateway_address() -> str:
    """Where the gateway listens."""
    return f"http://{settings().host}:{settings().gateway_port}"


def ask(path: str, **parameters: str | float | None) -> dict[str, Any]:
    """GET a path of the gateway; parameters that are None are left out.

    Args:
        path: Below the gateway's address.
        **parameters: Of the query.

    Raises:
        UnreachableError: Nothing answers there.
        Permanent: The gateway refuses the question (4xx); its words say why.
        Retryable: The gateway cannot answer now (5xx), or not in time.
    """
    query = {name: value for name, value in parameters.items() if value is not None}
    address = gateway_address()
    try:
        answer = httpx.get(f"{address}{path}", params=query, timeout=10.0, trust_env=False)
    except httpx.ReadTimeout as error:
        raise Retryable(
            f"The gateway at {address} did not answer within 10 s: see `maximus status` and {settings().log_dir}."
        ) from error
    except httpx.HTTPError as error:
        raise UnreachableError(f"Nothing answers at {address}: start it with `make up`.") from error
    try:
        body = answer.json()
    except ValueError as error:
        raise UnreachableError(
            f"What listens at {address} is not Maximus: set MAXIMUS_GATEWAY_PORT to its port."
        ) from error
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return dict(body)  # also a 503 of the health route: it describes a loop that is not alive
    if answer.is_client_error:
        raise Permanent(_plainly(body))
    raise Retryable(f"The gateway cannot answer now. {body.get('title', '')}: {body.get('detail', '')}")


def _plainly(problem: Mapping[str, Any]) -> str:
    """A refusal (RFC 9457) without the addresses, codes and patterns it has for programs."""
    asked = {str(item.get("where", "")).rpartition(".")[2] for item in problem.get("errors", [])}
    if "target" in asked:
        return (
            "A target's name has 1 to 63 of a-z 0-9 . _ - and begins with a letter or a digit: "
            "`maximus status --json` lists the targets."
        )
    words = f"{problem.get('title', 'The gateway refuses that')}: {problem.get('detail', '')}"
    return " ".join(
        [
            words,
            *(f"{item.get('where', '')}: {item.get('message', '')}." for item in problem.get("errors", [])),
        ]
    )

"""Asks the gateway, and says in one sentence when it cannot be asked."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from maximus_assets.contracts.errors import BadInputError, Retryable
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
    installed = Path(settings_module.__file__).parents[1]
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
        BadInputError: The gateway refuses the question (4xx); its words say why.
        Retryable: The gateway cannot answer now (5xx).
    """
    query = {name: value for name, value in parameters.items() if value is not None}
    address = gateway_address()
    try:
        answer = httpx.get(f"{address}{path}", params=query, timeout=10.0, trust_env=False)
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
    detail = f"{body.get('title', 'Refused')}: {body.get('detail', '')}"
    for item in body.get("errors", []):
        detail += f" {item.get('where', '')}: {item.get('message', '')}."
    if answer.is_client_error:
        raise BadInputError(detail, source=f"{answer.request.url.path}")
    raise Retryable(f"The gateway cannot answer now. {detail}")

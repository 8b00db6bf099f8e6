"""From the path of a public request to the row it is for; what proxies and typists do to paths is put right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from receiver.errors import Code, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from receiver.core.tenants import Tenant, TenantDirectory
    from receiver.ingress.inputs import Row


class PublicRoutes:
    """The rows of the public listener.

    Args:
        rows: Theirs.
        tenants: Names a path may end in.
        prefix: What a proxy puts before every path; paths without it are known too.
    """

    def __init__(self, rows: Iterable[Row], tenants: TenantDirectory, prefix: str) -> None:
        self._rows = {row.path: row for row in rows}
        self._tenants = tenants
        self._prefix = prefix

    def own(self, raw_path: str) -> str:
        """The path as the table writes it: without the prefix, doubled slashes and a slash at its end."""
        if raw_path in self._rows:
            return raw_path
        path = "/" + "/".join(part for part in raw_path.split("/") if part)
        return (path.removeprefix(self._prefix) or "/") if (path + "/").startswith(self._prefix + "/") else path

    def find(self, path: str) -> tuple[Row, str | None]:
        """The row a path is for, and the name after it, which should be a tenant's.

        Args:
            path: As `own` returns it.

        Raises:
            RequestError: `no_route`.
        """
        row = self._rows.get(path)
        if row is not None and row.tenant_in_path != "required":
            return row, None
        head, _, name = path.rpartition("/")
        row = self._rows.get(head)
        if row is None or row.tenant_in_path == "none":
            raise RequestError(Code.NO_ROUTE, "no such path; register .../backchannel-logout at the OP")
        return row, name

    def tenant(self, name: str | None) -> Tenant | None:
        """The tenant of that name; None for None.

        Raises:
            RequestError: `no_route`.
        """
        if name is None:
            return None
        tenant = self._tenants.by_name(name)
        if tenant is None:
            raise RequestError(Code.NO_ROUTE, "the path names no configured tenant")
        return tenant

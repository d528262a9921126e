"""The role that servers connect as, and what it is kept from."""

import asyncpg

from services.asset_graph.storage.migrations import MigrationError

APP_ROLE = "shotline_app"


async def make_role(connection: asyncpg.Connection) -> None:
    """Makes sure that the role exists and that row-level security holds it. It gets no password here.

    MigrationError when it is missing and the operator's role may not create it, or when it could get around the
    policies.
    """
    found = await connection.fetchrow(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, pg_has_role(oid, session_user, 'MEMBER') AS member FROM pg_roles"
        " WHERE rolname = $1",
        APP_ROLE,
    )
    if found is None:
        try:
            await connection.execute(
                f"CREATE ROLE {APP_ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
            )
        except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
            pass  # roles are the server's: whoever migrates another database of it was faster
        except asyncpg.InsufficientPrivilegeError as error:
            raise MigrationError(
                f"the role {APP_ROLE} does not exist and this role may not create it; as an administrator:"
                f" CREATE ROLE {APP_ROLE} LOGIN PASSWORD '…'"
            ) from error
    elif powers := [power for power, held in found.items() if held]:
        raise MigrationError(
            f"the role {APP_ROLE} could get around row-level security ({', '.join(powers)}); as an administrator:"
            f" ALTER ROLE {APP_ROLE} NOSUPERUSER NOBYPASSRLS NOCREATEROLE; REVOKE its membership in the operator's role"
        )


async def settle_rights(connection: asyncpg.Connection) -> None:
    """What belongs to the database rather than to the schema: who may connect, and who may create what."""
    names = await connection.fetchrow("SELECT quote_ident(current_database()), quote_ident(session_user)")
    assert names is not None
    database, operator = names
    if await connection.fetchval(
        "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()"
    ):
        # Everybody may make temporary tables otherwise, and the application's role is to make nothing.
        await connection.execute(
            f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC;"
            f"GRANT TEMPORARY ON DATABASE {database} TO {operator};"
            f"GRANT CONNECT ON DATABASE {database} TO {APP_ROLE}"
        )
    await connection.execute(f"GRANT SELECT ON public.alembic_version TO {APP_ROLE}")
    if not await connection.fetchval("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = session_user"):
        # The policies hold the owner, too. An operator sees everything, whether it is a superuser or not.
        for row in await connection.fetch(
            "SELECT polrelid::regclass::text AS held FROM pg_policy WHERE polname = 'own_workspaces'"
            " AND polrelid NOT IN (SELECT polrelid FROM pg_policy WHERE polname = 'operator')"
        ):
            await connection.execute(f"CREATE POLICY operator ON {row['held']} TO {operator} USING (true)")

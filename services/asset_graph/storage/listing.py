"""SQL of lists of assets: the filters stand inside, before the limit, and each order is that of an index.

Row-level security lets an index be used only for comparisons that tell nothing of other rows. Equality and order do
not; LIKE, `starts_with` and `@>` may. So a name prefix is a range of `name_key`, which is the name's first 200
characters in the order of code points.
"""

from dataclasses import dataclass, field

from services.asset_graph.domain.reading import Cut, Filter, Order
from services.asset_graph.storage import pages
from services.asset_graph.storage.rows import asset_columns

KEY_SIZE = 200  # characters of a name that `name_key` has
_LAST = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)

# Of each order: its columns, whether it descends, and the kinds of its keys.
_ORDERS = {
    Order.CREATED: (("created_at", "id"), False, (pages.moment, pages.identity)),
    Order.CREATED_LAST_FIRST: (("created_at", "id"), True, (pages.moment, pages.identity)),
    Order.NAME: (("name_key", "id"), False, (pages.text, pages.identity)),
}


@dataclass(slots=True)
class Query:
    """SQL with its arguments, in the making."""

    arguments: list[object] = field(default_factory=list)

    def argument(self, value: object) -> str:
        """Its place in the SQL."""
        self.arguments.append(value)
        return f"${len(self.arguments)}"


def listing(workspace_id: str, wanted: Filter, order: Order, cut: Cut) -> tuple[str, list[object]]:
    """SQL and arguments of one page. Raises INVALID_FIELD for a page token that is none."""
    query = Query()
    columns, descending, kinds = _ORDERS[order]
    workspace, limit = query.argument(workspace_id), f"{query.argument(cut.size)}::int"
    conditions = _conditions(query, wanted)
    if cut.behind:
        places = ", ".join(query.argument(key) for key in pages.keys(cut.behind, *kinds))
        conditions.append(f"({', '.join(f'a.{name}' for name in columns)}) {'<' if descending else '>'} ({places})")
    direction = " DESC" if descending else ""
    shown = f"{asset_columns('a')}, a.name_key"
    by = ", ".join(f"a.{name}{direction}" for name in columns)
    merged = ", ".join(f"x.{name}{direction}" for name in columns)
    if len(wanted.types) > 1:
        # One index scan for each type: together they would read everything of the workspace for types that are rare.
        parts = [
            f"(SELECT {shown} FROM assets a WHERE "
            + " AND ".join((f"a.workspace_id = {workspace}", f"a.type = {query.argument(each)}", *conditions))
            + f" ORDER BY {by} LIMIT {limit} + 1)"
            for each in wanted.types
        ]
        rows = f"SELECT x.* FROM ({' UNION ALL '.join(parts)}) x ORDER BY {merged}"
    else:
        conditions = [f"a.type = {query.argument(each)}" for each in wanted.types] + conditions
        where = " AND ".join((f"a.workspace_id = {workspace}", *conditions))
        rows = f"SELECT {shown} FROM assets a WHERE {where} ORDER BY {by}"
    return pages.bounded(rows, merged, limit), query.arguments


def key_columns(order: Order) -> tuple[str, ...]:
    """The columns whose values are the keys of a page."""
    return _ORDERS[order][0]


def _conditions(query: Query, wanted: Filter) -> list[str]:
    found = []
    if wanted.created_from is not None:
        found.append(f"a.created_at >= {query.argument(wanted.created_from)}")
    if wanted.created_before is not None:
        found.append(f"a.created_at < {query.argument(wanted.created_before)}")
    if wanted.name_prefix:
        key = wanted.name_prefix[:KEY_SIZE]
        found.append(f"a.name_key >= {query.argument(key)}")
        if (end := behind_prefix(key)) is not None:
            found.append(f"a.name_key < {query.argument(end)}")
        if key != wanted.name_prefix:
            found.append(f"starts_with(a.name, {query.argument(wanted.name_prefix)})")
    if wanted.metadata is not None:
        found.append(f"a.asset_metadata @> {query.argument(wanted.metadata)}::jsonb")
    return found


def behind_prefix(prefix: str) -> str | None:
    """The first text, by code points, behind all that begin with a prefix; None where nothing is behind them.

    The code point behind that of the last character, and where that is the last of all, of the one before it.
    """
    for index in range(len(prefix) - 1, -1, -1):
        if (following := ord(prefix[index]) + 1) <= _LAST:
            following = _SURROGATES.stop if following in _SURROGATES else following
            return prefix[:index] + chr(following)
    return None

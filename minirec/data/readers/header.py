"""Which fields of a header, or keys of a JSON record, are the user, the item and the time.

A *role* is what a field is to us: "user", "item" or "timestamp". A caller may name the field of
each role (`columns`, such as {"user": "customer", "item": "sku"}); otherwise the usual names are
recognised.
"""

from collections.abc import Sequence

from minirec.errors import DataError

# Compared without case and underscores. Of several names in one header, the first here wins.
USUAL_NAMES = {
    "user": ("user", "userid", "reviewerid"),
    "item": ("item", "itemid", "movieid", "asin"),
    "timestamp": ("timestamp", "time", "unixreviewtime"),
}

SHOWN_FIELDS = 12  # an error message lists this many fields of a header at most


def find_positions(fields: list[str], columns: dict[str, str] | None) -> tuple[int, ...] | None:
    """Find where user, item and time stand in a header.

    Parameters
    ----------
    fields : list of str
        The header's fields, or the keys of a JSON record.
    columns : dict or None
        The field's name for each role; None to recognise the usual names.

    Returns
    -------
    tuple of int or None
        Positions of the user, the item and, if it was asked for or recognised, the time. None if
        a field is missing: `missing_fields_error` says which.
    """
    positions = _position_of_each_role(fields, columns)
    if _missing_roles(positions, columns):
        return None
    return tuple(position for position in positions.values() if position is not None)


def missing_fields_error(
    where: str, fields: list[str], columns: dict[str, str] | None
) -> DataError:
    """Return the error for a header in which `find_positions` missed something.

    Parameters
    ----------
    where : str
        File and line, such as "log.csv, line 1".
    fields, columns
        As for `find_positions`.

    Returns
    -------
    DataError
        To be raised by the caller.
    """
    missing = _missing_roles(_position_of_each_role(fields, columns), columns)
    if columns is None:
        wanted = " and ".join(f"the {role}" for role in missing)
    else:
        wanted = " and ".join(f"the {role}, {columns[role]!r}," for role in missing)

    among = ", ".join(repr(field) for field in fields[:SHOWN_FIELDS])
    if len(fields) > SHOWN_FIELDS:
        among += " ..."

    return DataError(
        f"{where}: nothing for {wanted} among {among}. If the fields have other names, pass "
        "columns={'user': ..., 'item': ..., 'timestamp': ...}; a file without a header line needs "
        "one."
    )


def _position_of_each_role(
    fields: list[str], columns: dict[str, str] | None
) -> dict[str, int | None]:
    """Return the position of each role that is sought; None where no field has its name."""
    # RecBole writes a field's type behind its name, as in user_id:token.
    names = [field.split(":")[0] for field in fields]

    if columns is None:
        plain_names = [name.lower().replace("_", "") for name in names]
        return {role: _first_found(usual, plain_names) for role, usual in USUAL_NAMES.items()}

    positions: dict[str, int | None] = {}
    for role in USUAL_NAMES:
        if role in columns:
            given_name = [columns[role]]
            position = _first_found(given_name, fields)
            if position is None:
                position = _first_found(given_name, names)
            positions[role] = position
    return positions


def _first_found(sought: Sequence[str], names: list[str]) -> int | None:
    """Return the position of the first sought name that is there, or None."""
    for name in sought:
        if name in names:
            return names.index(name)
    return None


def _missing_roles(positions: dict[str, int | None], columns: dict[str, str] | None) -> list[str]:
    """Return the roles without a field. Only a time that nobody asked for may be absent."""
    missing = [role for role, position in positions.items() if position is None]
    if columns is None and "timestamp" in missing:
        missing.remove("timestamp")
    return missing

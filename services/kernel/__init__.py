"""Words that two domains share: faults, ids, paging, strict JSON. Standard library only."""

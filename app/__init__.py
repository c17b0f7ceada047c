"""A speech backend that stays inside a memory budget it knows."""

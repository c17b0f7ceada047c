"""
Who is let in, and how much each may have of the service. Nothing here imports Flask.

`limits`, `redis` (3 and 9 MB) are imported where a setting asks for them, and nowhere else.
"""

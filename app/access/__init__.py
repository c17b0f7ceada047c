"""Who is let in, and how much each may have of the service. Nothing here imports Flask."""

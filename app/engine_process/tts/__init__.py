"""Text to speech: what the speech engine runs."""

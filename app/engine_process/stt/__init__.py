"""Speech to text: what the whisper engine runs."""

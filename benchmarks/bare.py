"""A Flask that does nothing, to compare with."""

from flask import Flask

app = Flask(__name__)


@app.get("/health")
@app.get("/health/live")
def health() -> str:
    """That it answers."""
    return "ok"

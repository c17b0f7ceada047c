"""`flask --app wsgi models ...`: what is done by hand or while a host builds."""

from pathlib import Path
from typing import cast

import click
from flask import Flask
from flask.cli import AppGroup

from .services import Services

models_group = AppGroup("models", help="Speech-to-text models on this machine.")

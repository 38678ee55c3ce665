"""All pages."""

from fastapi import FastAPI

from nsu.web.pages import change, devices, login, look


def add_pages(app: FastAPI) -> None:
    """Add them to the app."""
    for module in (login, look, change, devices):
        app.include_router(module.router)

"""The page at `/`: what runs here and, for whoever sits at this machine, where to look."""

from flask import Blueprint, Response, render_template

from services import PORTS, address
from services.gateway.loopback import is_local_request
from services.gateway.sandbox import may_see_sandbox

home = Blueprint("home", __name__)


@home.get("/")
def index() -> str:
    """Show the home page; strangers learn nothing about the inside."""
    services = {name: address(name) for name in PORTS if name != "gateway"}
    return render_template("home.html", local=is_local_request(), sandbox=may_see_sandbox(), services=services)


@home.get("/robots.txt")
def robots() -> Response:
    """Nothing here is for search engines."""
    return Response("User-agent: *\nDisallow: /\n", mimetype="text/plain")

"""The pages."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path


@settings.AUTH.login_required(scopes=["orders.read"])
def orders(_: HttpRequest, *, context: dict[str, Any]) -> JsonResponse:
    """Where the app would call an API for the user."""
    return JsonResponse({"user": context["user"]["name"], "token": f"…{context['access_token'][-6:]}"})


def healthz(_: HttpRequest) -> HttpResponse:
    """Nobody's page."""
    return HttpResponse("ok")


urlpatterns = [settings.AUTH.urlpattern, path("", orders), path("healthz", healthz)]

"""Turn a refused or failed request into its answer: problem+json under /api/, a page elsewhere."""

from django.http import HttpRequest, HttpResponse


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return HttpResponse("This form is too old or came from elsewhere.", status=403, content_type="text/plain")

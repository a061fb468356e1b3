"""Turn the API into its description: OpenAPI for programs, a page without foreign hosts for people."""

from functools import cache

from django.conf import settings
from django.template.loader import render_to_string
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.types import OpenApiTypes
from rest_framework.renderers import BaseRenderer

from kb.api.door import ReadView, stored
from kb.api.schema import describe


class Schema(ReadView):
    scope = ""
    # Plain JSON first: browsers show it, the registered kind they save as a file.
    renderer_classes = [OpenApiJsonRenderer2, OpenApiJsonRenderer, OpenApiYamlRenderer2, OpenApiYamlRenderer]

    @describe(
        "schema",
        OpenApiTypes.OBJECT,
        "This description: OpenAPI 3.1 as JSON or YAML.",
        tag="About",
        kinds=[renderer.media_type for renderer in renderer_classes],
    )
    def get(self, request):
        self.values()
        return stored(request, _rendered(self.renderer), content_type=self.renderer.media_type)


@cache
def _rendered(renderer: type[BaseRenderer]) -> bytes:
    # Code and settings alone decide it, so once a process is enough.
    return renderer().render(SchemaGenerator().get_schema(request=None, public=True), renderer_context={})


class PageRenderer(BaseRenderer):
    """Names the form for negotiation; the page itself is a template."""

    media_type = "text/html"
    format = "html"


class Docs(ReadView):
    schema = None
    scope = ""
    renderer_classes = [PageRenderer]

    def get(self, request):
        self.values()
        page = render_to_string("kb/api_docs.html", {"site_name": settings.KB_SITE_NAME})
        return stored(request, page.encode(), content_type="text/html; charset=utf-8")

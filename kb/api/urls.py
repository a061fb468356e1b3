"""Turn a path under /api/v1/ into its view."""

from django.urls import path

from kb.api import docs, entities, finding, similar, views

app_name = "api"
urlpatterns = [
    path("", views.Root.as_view(), name="root"),
    path("posts/", views.Posts.as_view(), name="posts"),
    path("posts/<slug:slug>/", views.Post.as_view(), name="post"),
    path("posts/<slug:slug>/meta/", views.Meta.as_view(), name="meta"),
    path("posts/<slug:slug>/similar/", similar.SimilarPosts.as_view(), name="similar"),
    path("posts/<slug:slug>/revisions/", views.Revisions.as_view(), name="revisions"),
    path("posts/<slug:slug>/revisions/<int:number>/", views.Revision.as_view(), name="revision"),
    path("posts/<slug:slug>/revisions/<int:number>/diff/<int:to>/", views.Diff.as_view(), name="diff"),
    path("entities/", entities.Entities.as_view(), name="entities"),
    path("entities/<str:type>/<str:slug>/", entities.Entity.as_view(), name="entity"),
    path("entities/<str:type>/<str:slug>/posts/", entities.EntityPosts.as_view(), name="entity-posts"),
    path("checklists/", entities.Checklists.as_view(), name="checklists"),
    path("checklists/<slug:key>/", entities.Checklist.as_view(), name="checklist"),
    path("checklists/<slug:key>/posts/", entities.ChecklistPosts.as_view(), name="checklist-posts"),
    path("facets/", entities.Facets.as_view(), name="facets"),
    path("search/", finding.Search.as_view(), name="search"),
    path("suggest/", finding.Suggest.as_view(), name="suggest"),
    path("status/", entities.Status.as_view(), name="status"),
    path("changes/", views.Changes.as_view(), name="changes"),
    path("export/", views.Export.as_view(), name="export"),
    path("document-schema/", views.DocumentSchema.as_view(), name="document-schema"),
    path("schema/", docs.Schema.as_view(), name="schema"),
    path("docs/", docs.Docs.as_view(), name="docs"),
]

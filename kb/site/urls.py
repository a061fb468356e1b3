"""The addresses of readers' pages. They mirror those of the API, without its prefix."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from kb.site import guide, machines, searching, views

app_name = "site"
urlpatterns = [
    path("", views.home, name="home"),
    path("search/", searching.search_page, name="search"),
    path("posts/<slug:slug>/", views.post, name="post"),
    path("posts/<slug:slug>/markdown/", machines.markdown_of, name="markdown"),
    path("posts/<slug:slug>/report/", views.report, name="report"),
    path("posts/<slug:slug>/report/thanks/", views.thanks, name="thanks"),
    path("entities/", views.entities, name="entities"),
    path("entities/<str:type>/<str:slug>/", views.entity, name="entity"),
    path("embed/", views.embed, name="embed"),
    path("guide/", guide.guide, name="guide"),
    path("login/", views.Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(next_page="site:home"), name="logout"),
    path("feed.atom", machines.feed, name="feed"),
    path("llms.txt", machines.llms, name="llms"),
    path("robots.txt", machines.robots, name="robots"),
    path("sitemap.xml", machines.sitemap, name="sitemap"),
    path("sitemap-<int:number>.xml", machines.sitemap_part, name="sitemap-part"),
    path("favicon.ico", views.favicon, name="favicon"),
]

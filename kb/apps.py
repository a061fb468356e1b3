"""Turn kb into a Django app: its checks, and the reading role after every migration."""

from django.apps import AppConfig


class KbConfig(AppConfig):
    name = "kb"
    verbose_name = "Knowledge base"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from kb import checks, reading_role  # noqa: F401  (checks registers itself)

        reading_role.connect(self)

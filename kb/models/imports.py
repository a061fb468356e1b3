"""Import runs and receipts: what became of each source record."""

from django.conf import settings
from django.db import models

from kb.choices import Outcome


class ImportRun(models.Model):
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="None: the command line.",
    )
    paths = models.JSONField(default=list)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, help_text="None: running, or broken off.")
    counts = models.JSONField(default=dict, help_text="Outcome to number of records.")

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"Import {self.pk} of {self.started_at:%Y-%m-%d %H:%M}"


class Receipt(models.Model):
    run = models.ForeignKey(ImportRun, on_delete=models.CASCADE, related_name="receipts")
    place = models.TextField(help_text="File and line.")
    source = models.CharField(max_length=60, blank=True)
    source_id = models.CharField(max_length=200, blank=True)
    outcome = models.CharField(max_length=20, choices=Outcome, db_index=True)
    reason = models.TextField(blank=True)
    post = models.ForeignKey("kb.Post", null=True, on_delete=models.SET_NULL, related_name="receipts")
    revision = models.ForeignKey("kb.Revision", null=True, on_delete=models.SET_NULL, related_name="receipts")

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.place}: {self.get_outcome_display()}"

"""Entities: the typed things that posts are about."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Entity(models.Model):
    type = models.CharField(
        max_length=60, help_text="What kind of thing this is: stack, area, problem, tool. Fixed once saved."
    )
    name = models.CharField(
        max_length=500, help_text="The name as posts use it. Fixed once saved, for revisions name it."
    )
    aliases = ArrayField(
        models.CharField(max_length=500),
        default=list,
        blank=True,
        help_text="Other names for the same thing, one a line. They help to find it here; readers never see "
        "them.",
    )

    class Meta:
        ordering = ["type", "name"]
        verbose_name_plural = "entities"
        constraints = [
            models.UniqueConstraint(fields=["type", "name"], name="kb_one_entity_per_type_and_name"),
            models.CheckConstraint(
                condition=~models.Q(name="") & ~models.Q(type=""), name="kb_an_entity_has_name_and_type"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.type})"

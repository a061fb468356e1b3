"""What is: the tables of kb, their constraints and their sets of rows."""

from kb.models.entity import Entity
from kb.models.imports import ImportRun, Receipt
from kb.models.post import Checklist, ChecklistItem, Image, Post, PostEntity
from kb.models.publication import (
    Change,
    Publication,
    PublishedChecklist,
    PublishedEntity,
    PublishedRevision,
)
from kb.models.revision import Decision, Flag, Revision, SourceRecord

__all__ = [
    "Change",
    "Checklist",
    "ChecklistItem",
    "Decision",
    "Entity",
    "Flag",
    "Image",
    "ImportRun",
    "Post",
    "PostEntity",
    "Publication",
    "PublishedChecklist",
    "PublishedEntity",
    "PublishedRevision",
    "Receipt",
    "Revision",
    "SourceRecord",
]

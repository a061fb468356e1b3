"""What is: the tables of kb, their constraints and their sets of rows."""

from kb.models.access import AccessToken, RateWindow
from kb.models.desk import Comment, Criteria, Likeness, PostText, Schedule, Synonym, Tick
from kb.models.entity import Entity
from kb.models.hooks import Delivery, Hook, HookAct
from kb.models.imports import ImportRun, Receipt
from kb.models.post import Checklist, ChecklistItem, Image, Post, PostEntity
from kb.models.publication import (
    Change,
    Publication,
    PublishedChecklist,
    PublishedEntity,
    PublishedFacet,
    PublishedRevision,
    PublishedSpelling,
    PublishedSynonym,
    PublishedTag,
    PublishedTerm,
    PublishedText,
    PublishedTotals,
    PublishedVector,
    PublishedWord,
)
from kb.models.revision import Decision, Flag, Revision, SourceRecord
from kb.models.verification import Oversight, Report, Upkeep, Verification, VerificationPolicy
from kb.models.waiting import Digest, Notice, QueueItem, SavedFilter, WorkingCopy

__all__ = [
    "AccessToken",
    "Change",
    "Checklist",
    "ChecklistItem",
    "Comment",
    "Criteria",
    "Decision",
    "Delivery",
    "Digest",
    "Entity",
    "Flag",
    "Hook",
    "HookAct",
    "Image",
    "ImportRun",
    "Likeness",
    "Notice",
    "Oversight",
    "Post",
    "PostEntity",
    "PostText",
    "Publication",
    "PublishedChecklist",
    "PublishedEntity",
    "PublishedFacet",
    "PublishedRevision",
    "PublishedSpelling",
    "PublishedSynonym",
    "PublishedTag",
    "PublishedTerm",
    "PublishedText",
    "PublishedTotals",
    "PublishedVector",
    "PublishedWord",
    "QueueItem",
    "RateWindow",
    "Receipt",
    "Report",
    "Revision",
    "SavedFilter",
    "Schedule",
    "SourceRecord",
    "Synonym",
    "Tick",
    "Upkeep",
    "Verification",
    "VerificationPolicy",
    "WorkingCopy",
]

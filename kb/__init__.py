"""kb: nothing reaches a reader until a person other than its author approved exactly the content shown.

The flow, one way:

    source file -> sources -> Document -> flow.importing -> Post + Revision -> flow.flagging -> Flags
                             admin -> flow.drafting -> flow.revising -> Revision
    Revision, Flags -> flow.reviewing -> Decision -> flow.publishing -> Publication + Change -> api, site

The rooms: document, choices, errors, render, article, diff, merge, likeness, meaning, reading_time and
sources are leaves; models say what is; flow is the only code that changes state; admin and management are the
editors' and operators' doors; api and site are the readers' doors and see publications alone.
"""

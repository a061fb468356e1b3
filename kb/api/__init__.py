"""Readers' door, JSON: turn stored publications into answers. Nothing here can see a draft.

    urls ─► views ─► door: method, access, form, parameters, and only then content
                      │
    access, parameters (what a request may say) ─► filters, pagination ─► Publication.reading ─► stored bytes

`problems` turns every refusal into problem+json; `shapes` and `schema` describe all of it as OpenAPI.
"""

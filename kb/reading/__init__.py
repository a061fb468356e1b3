"""Turn what readers ask for into published rows: what the API, the site and the admin's search share.

Everything here asks the alias `reading`, whose role may SELECT publications alone.
"""

"""Turn publications into pages: the readers' door in HTML.

Pages read through the managers `reading` alone, carry no inline script or style, and are the same for
everybody who may read, but for the links of one's own account.
"""

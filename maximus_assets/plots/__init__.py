"""Pictures for the pages people look at: arrays and frames in, PNG bytes out, small enough for an event log.

Nothing is computed here that decides anything, and nothing here knows where a picture is shown. matplotlib is drawn with
through its objects and never through pyplot, whose state is one for a whole process; it is imported when the first picture
is drawn, for most processes that load the graph draw none.
"""

"""How the outside reads the product: HTTP routes, the event stream, Prometheus text. Read only.

Nothing here decides or writes. Answers come from the knowledge base; the loop runs in another process and is seen only
through its rows. The web page's looks are the dashboard's.
"""

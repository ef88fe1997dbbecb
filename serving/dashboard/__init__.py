"""How the product looks in a browser: templates, style, the script of the live page, and figures put in words.

Nothing here reads the knowledge base or knows HTTP: the gateway hands over its answers and gets HTML back. So this room
imports the gateway's answer types, and the gateway imports nothing of this room; wiring joins the two.
"""

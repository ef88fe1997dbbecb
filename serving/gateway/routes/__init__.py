"""One module for each group of routes; each exports `routes(ports)` returning a router."""

"""Starts every process of the product on one machine, keeps them running, and stops them.

It knows processes, ports, files and readiness, and nothing of what the processes do. The same services run without it
under Kubernetes.
"""

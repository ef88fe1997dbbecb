"""`python -m serving.cli`: the same as `maximus`."""

from serving.cli import app

if __name__ == "__main__":
    app()

"""Builds `.venv` and installs the project into it: what `make install` runs.

Standard library only, because it runs before anything is installed, and written so that an old Python can still read
it far enough to say that it is too old. It is hard for three reasons: Debian and Ubuntu ship Python without the part
that puts pip into an environment (python3-venv), an install may have been cut off half way, and running it when
nothing changed must cost nothing. So pip comes from whichever place has it, an unfinished install starts over (pip's
own cache keeps what was downloaded), and a stamp over everything that decides the result ends the second run at once.

pip's own settings (PIP_INDEX_URL, pip.conf, proxies, certificates) are honoured throughout. On Linux the package index
serves torch with the CUDA libraries: that works on every machine and is a large download (about 3 GB). To get the
small build, name the index that has it: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make install
"""

import base64
import configparser
import contextlib
import fcntl
import hashlib
import html.parser
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".maximus-installed"
UNFINISHED = VENV / ".maximus-unfinished"
LOG = VENV / "install.log"
TESTED = (3, 11)
ALLOWED = ((3, 11), (3, 12), (3, 13))
SOURCES = ("pyproject.toml", "constraints.txt", ".ci/bootstrap.py")


class InstallError(Exception):
    """Nothing more can be done here; the message is one sentence that says what to do."""


def check_python():
    """Refuse a Python this project was not written for; say so when it is one nobody tested."""
    version = sys.version_info[:2]
    if version not in ALLOWED:
        raise InstallError(
            "Python {}.{} cannot run this project: install Python 3.11 (apt-get install python3.11) and run "
            "`make install PYTHON=python3.11`.".format(*version)
        )
    if version != TESTED:
        print(
            "note: Python {}.{} is untested here (3.11 is pinned and tested); installing from the lower bounds".format(
                *version
            ),
            flush=True,
        )


def wanted_stamp():
    """A digest of everything that decides what ends up in `.venv`."""
    digest = hashlib.sha256(repr((sys.version_info[:3], str(ROOT))).encode())
    for name in SOURCES:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def is_current(stamp):
    """Whether the last install finished, from the same sources, and its Python is still there."""
    try:
        return STAMP.read_text() == stamp and os.access(str(PYTHON), os.X_OK) and not UNFINISHED.exists()
    except OSError:
        return False


def is_healthy():
    """Whether `.venv` is a finished environment of this Python, so that it can be updated in place."""
    if UNFINISHED.exists() or not os.access(str(PYTHON), os.X_OK):
        return False
    code = "import sys; print(sys.version_info[:3], sys.prefix)"
    found = subprocess.run(
        [str(PYTHON), "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    return found.stdout.decode().strip() == f"{tuple(sys.version_info[:3])} {VENV}"


def build_environment():
    """Make `.venv` anew, without pip: that part may be missing from this Python."""
    try:
        import venv
    except ImportError:
        raise InstallError("This Python has no venv module: apt-get install python3-venv.") from None
    if VENV.exists():
        print("the last install did not finish or belongs to another Python: starting over", flush=True)
        shutil.rmtree(str(VENV))
    venv.EnvBuilder(with_pip=False, symlinks=True).create(str(VENV))


def succeeds(command):
    """Whether a command runs and ends well; what it printed does not matter."""
    ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return ended.returncode == 0


def provide_pip():
    """Put pip into `.venv` from the nearest place that has it; returns the name of that place."""
    python = str(PYTHON)
    if succeeds([python, "-m", "pip", "--version"]):
        return "already there"
    if succeeds([python, "-m", "ensurepip", "--default-pip"]) and succeeds(
        [python, "-m", "pip", "--version"]
    ):
        return "ensurepip"
    if succeeds([sys.executable, "-m", "pip", "--python", python, "install", "--no-input", "pip"]):
        return "the pip of this Python"
    with tempfile.TemporaryDirectory() as folder:
        wheel = fetch_pip(pathlib.Path(folder))
        # A wheel is a zip file that Python can run from: pip installs itself.
        command = [python, f"{wheel}/pip", "install", "--no-input", "--no-index", str(wheel)]
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if ended.returncode:
            raise InstallError(
                "pip could not install itself from {}: {}".format(
                    wheel.name, ended.stdout.decode(errors="replace").strip().splitlines()[-1:]
                )
            )
        return wheel.name


class PipSettings:
    """The part of pip's configuration that says where packages come from.

    Environment variables win over the user's file, that over the machine's; sections `global`, `install` and
    `download` are read. (https://pip.pypa.io/en/stable/topics/configuration/)
    """

    def __init__(self):
        home = pathlib.Path.home()
        files = [
            pathlib.Path("/etc/xdg/pip/pip.conf"),
            pathlib.Path("/etc/pip.conf"),
            home / ".pip" / "pip.conf",
            pathlib.Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf",
        ]
        named = os.environ.get("PIP_CONFIG_FILE")
        files = [] if named == os.devnull else files + ([pathlib.Path(named)] if named else [])
        parser = configparser.RawConfigParser()
        with contextlib.suppress(configparser.Error, UnicodeDecodeError):
            parser.read([str(file) for file in files])
        self._parser = parser

    def get(self, name):
        """The value of one option (`index-url`), empty when nobody set it."""
        variable = os.environ.get("PIP_" + name.upper().replace("-", "_"))
        if variable is not None:
            return variable
        for section in ("download", "install", "global"):
            if self._parser.has_option(section, name):
                return self._parser.get(section, name)
        return ""

    def indexes(self):
        """Index addresses, first choice first."""
        if self.get("no-index").strip().lower() in ("1", "true", "yes", "on"):
            return []
        found = [self.get("index-url") or "https://pypi.org/simple"]
        return found + self.get("extra-index-url").split()

    def open(self, url, accept="*/*"):
        """The bytes behind an address, with the configured proxy, certificates and credentials."""
        parts = urllib.parse.urlsplit(url)
        headers = {"Accept": accept, "User-Agent": "maximus-bootstrap"}
        if parts.username:
            secret = "{}:{}".format(
                urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or "")
            )
            headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
            host = parts.hostname + (f":{parts.port}" if parts.port else "")
            url = urllib.parse.urlunsplit(parts._replace(netloc=host))
        context = ssl.create_default_context(cafile=self.get("cert") or None)
        trusted = self.get("trusted-host").split()
        if parts.hostname in trusted or f"{parts.hostname}:{parts.port}" in trusted:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        handlers = [urllib.request.HTTPSHandler(context=context)]
        if self.get("proxy"):
            handlers.append(
                urllib.request.ProxyHandler({"http": self.get("proxy"), "https": self.get("proxy")})
            )
        request = urllib.request.Request(url, headers=headers)
        timeout = float(self.get("timeout") or self.get("default-timeout") or 30)
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout) as answer:
            return answer.read(), answer.headers.get("Content-Type") or ""


class Links(html.parser.HTMLParser):
    """Collects the links of an index page (PEP 503) in the form of its JSON sibling (PEP 691)."""

    def __init__(self):
        super().__init__()
        self.files = []

    def handle_starttag(self, tag, attrs):
        """Keep one link."""
        attributes = dict(attrs)
        if tag == "a" and attributes.get("href"):
            url, _, fragment = attributes["href"].partition("#")
            kind, _, digest = fragment.partition("=")
            self.files.append(
                {
                    "filename": urllib.parse.unquote(url.rstrip("/").rpartition("/")[2]),
                    "url": url,
                    "hashes": {kind: digest} if digest else {},
                    "yanked": "data-yanked" in attributes,
                    "requires-python": attributes.get("data-requires-python"),
                }
            )


def listed_wheels(settings, index):
    """The pip wheels an index lists: (version, address, sha256 or None)."""
    page = index.rstrip("/") + "/pip/" + ("index.html" if index.startswith("file:") else "")
    body, kind = settings.open(page, "application/vnd.pypi.simple.v1+json, text/html;q=0.5")
    if "json" in kind:
        files = json.loads(body.decode())["files"]
    else:
        links = Links()
        links.feed(body.decode())
        files = links.files
    for file in files:
        name = re.fullmatch(r"pip-(\d+(?:\.\d+)*)-py3-none-any\.whl", file["filename"])
        floor = re.match(r">=\s*3\.(\d+)", file.get("requires-python") or ">=3.0")
        if name and not file.get("yanked") and (floor is None or int(floor.group(1)) <= sys.version_info[1]):
            version = tuple(int(part) for part in name.group(1).split("."))
            yield version, urllib.parse.urljoin(page, file["url"]), file.get("hashes", {}).get("sha256")


def fetch_pip(folder):
    """Download the newest pip wheel an index lists, checked against the digest the index gives for it."""
    settings = PipSettings()
    problems = []
    for index in settings.indexes():
        shown = re.sub(r"//[^@/]*@", "//", index)
        try:
            wheels = sorted(listed_wheels(settings, index), key=lambda wheel: wheel[0])
            if not wheels:
                problems.append(f"{shown} lists no pip")
                continue
            _, url, digest = wheels[-1]
            body, _ = settings.open(url)
        except (OSError, ValueError, KeyError) as error:
            problems.append(f"{shown}: {error}")
            continue
        if digest is None and not url.startswith("file:"):
            problems.append(f"{shown} gives no sha256 for pip")
            continue
        if digest is not None and hashlib.sha256(body).hexdigest() != digest:
            raise InstallError(
                f"The pip wheel from {shown} does not match its sha256: try again or set PIP_INDEX_URL to "
                "an index you trust."
            )
        wheel = folder / urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2])
        wheel.write_bytes(body)
        return wheel
    raise InstallError(
        "pip is missing and could not be downloaded ({}): apt-get install python3-venv, or set "
        "PIP_INDEX_URL to an index that can be reached.".format("; ".join(problems) or "no index")
    )


class Progress:
    """One line of progress over pip's hundreds: rewritten on a terminal, now and then elsewhere."""

    def __init__(self):
        self.text = "starting pip"
        self._started = time.monotonic()
        self._done = threading.Event()
        self._live = sys.stdout.isatty()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *problem):
        self._done.set()
        self._thread.join()
        if self._live:
            print("\r\033[K", end="", flush=True)

    def _run(self):
        while not self._done.wait(0.5 if self._live else 15.0):
            line = f"  {time.monotonic() - self._started:4.0f} s  {self.text}"
            if self._live:
                print("\r\033[K" + line[: shutil.get_terminal_size().columns - 1], end="", flush=True)
            else:
                print(line, flush=True)


def install_project():
    """Install the project, its dependencies and the development tools; pip's whole output goes to a log."""
    command = [
        str(PYTHON),
        "-m",
        "pip",
        "install",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar",
        "off",
        "-e",
        ".[dev]",
    ]
    if sys.version_info[:2] == TESTED:
        command += ["-c", "constraints.txt"]
    tail, count, changing = [], 0, False
    with LOG.open("w") as log, Progress() as progress:
        process = subprocess.Popen(
            command,
            cwd=str(ROOT),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
            errors="replace",
        )
        for line in process.stdout:
            log.write(line)
            tail = [*tail[-19:], line.rstrip()]
            words = line.split()
            if words[:1] in (["Collecting"], ["Downloading"], ["Using"], ["Processing"]):
                count += words[0] == "Collecting"
                progress.text = "package {}: {}".format(count, " ".join(words)[:100])
            elif words[:2] == ["Installing", "collected"]:
                changing = True
                progress.text = f"unpacking {len(words) - 3} packages"
        status = process.wait()
    if status == 0:
        return
    if not changing:
        UNFINISHED.unlink()  # pip failed before it touched anything: what was installed is still whole
    text = "\n".join(tail)
    if "No space left on device" in text:
        raise InstallError(f"The disk is full: free about 6 GB under {ROOT} and run `make install` again.")
    print(text, file=sys.stderr)
    raise InstallError(
        f"pip could not install the project (its last lines are above, all of them in {LOG}): check the "
        "network or PIP_INDEX_URL, then run `make install` again."
    )


def main():
    """Install if anything changed; the exit code is 0, or 2 with one sentence."""
    started = time.monotonic()
    try:
        check_python()
        # Two installs at once would break each other; a lock on the folder leaves no file behind.
        folder = os.open(str(ROOT), os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        stamp = wanted_stamp()
        if is_current(stamp):
            return 0
        if not is_healthy():
            print("building .venv with Python {}.{}.{}".format(*sys.version_info[:3]), flush=True)
            build_environment()
        STAMP.write_text("")
        UNFINISHED.touch()
        print(f"pip: {provide_pip()}", flush=True)
        print(f"installing the project and its dependencies (log: {LOG.relative_to(ROOT)})", flush=True)
        install_project()
        STAMP.write_text(stamp)
        UNFINISHED.unlink()
    except InstallError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"The environment could not be built ({error}): check the disk and the rights on {ROOT}.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: the next `make install` starts over", file=sys.stderr)
        return 130
    print(f"installed in {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

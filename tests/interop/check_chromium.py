# environment: project
"""The page of `ncfm-hub report` in headless Chromium: on a desk, on a phone and in the dark.

Chromium (Debian: `apt-get install chromium`) is found on the PATH, or named by CHROMIUM. It is driven through a pipe by
its own DevTools protocol, so that every request and every complaint of the page is seen.
"""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Chromium reads commands from descriptor 3 and writes answers to 4.
_START = "import os, sys; [os.dup2(int(sys.argv[i]), 2 + i) for i in (1, 2)]; os.execv(sys.argv[3], sys.argv[3:])"
SIZES = {"desk": (1280, 1, "light"), "phone": (360, 2, "light"), "dark": (1280, 1, "dark")}
FAINTEST = 0.02  # least share of a screenshot's pixels that are not of its commonest colour


class Browser:
    """One page of a Chromium; what it requests, and what it complains of, is kept."""

    def __init__(self, write: int, read: int):
        self._to, self._from, self._unread = write, read, b""
        self._number, self._session = 0, None
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    def open(self, page: Path, width: int, scale: int, scheme: str) -> None:
        """Load a page at this width and wait until all of it is there."""
        self.requests, self.complaints, self._loaded = [], [], False
        self._resize(width, 800, scale)
        scheme_feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[scheme_feature])
        self.call("Page.navigate", url=page.as_uri())
        while not self._loaded:
            self._next()

    def value(self, expression: str) -> Any:
        """Of a JavaScript expression, which the tools may run where the page may not."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def picture(self, width: int, scale: int) -> Image.Image:
        """The whole page, however long."""
        self._resize(width, self.value("document.documentElement.scrollHeight"), scale)
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return Image.open(BytesIO(base64.b64decode(shot["data"]))).convert("RGB")

    def _resize(self, width: int, height: int, scale: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            part = os.read(self._from, 1 << 16)
            if not part:
                raise RuntimeError("Chromium is gone")
            self._unread += part
        text, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._keep(message.get("method"), message.get("params", {}))
        return message

    def _keep(self, method: str | None, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.complaints.append(json.dumps(params)[:300])
        elif method == "Page.loadEventFired":
            self._loaded = True

    def outside(self) -> list[str]:
        """Requests for anything but the page itself and what it holds."""
        return [url for url in self.requests if not url.startswith(("file:", "data:"))]


@contextmanager
def browser(program: str) -> Iterator[Browser]:
    """A Chromium with a profile of its own in the current folder."""
    ours, theirs = os.pipe(), os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (ours[0], theirs[1])]
    options = ["--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-background-networking"]
    options += ["--disable-gpu", "--hide-scrollbars", f"--user-data-dir={Path('profile').resolve()}"]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []  # it refuses to sandbox for root
    command = [sys.executable, "-c", _START, *map(str, high), program, *options]
    process = subprocess.Popen(command, pass_fds=high, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    for end in (ours[0], theirs[1], *high):
        os.close(end)
    try:
        yield Browser(ours[1], theirs[0])
    finally:
        process.terminate()
        process.wait(30)


def check_page(it: Browser, page: Path, name: str) -> Image.Image:
    """Open the page at one of SIZES and assert that it is quiet, whole, no wider than the screen and not blank."""
    width, scale, scheme = SIZES[name]
    it.open(page, width, scale, scheme)
    wide, images, broken = it.value(
        "[document.documentElement.scrollWidth, document.images.length,"
        " [...document.images].filter(i => !i.complete || !i.naturalWidth).length]"
    )
    picture = it.picture(width, scale)
    colours = picture.getcolors(picture.width * picture.height)
    drawn = 1 - max(count for count, _ in colours) / (picture.width * picture.height)
    print(
        f"{name}: {picture.width} x {picture.height} px, {images} images, {broken} broken; "
        f"page {wide} px wide on {width}; "
        f"{len(it.outside())} requests to elsewhere, {len(it.complaints)} complaints; {100 * drawn:.0f} % drawn on"
    )
    assert not it.outside(), it.outside()
    assert not it.complaints, it.complaints
    assert images
    assert not broken
    assert wide <= width, "the page scrolls sideways"
    assert drawn > FAINTEST, "the screenshot is blank"
    return picture


def check_that_faults_are_seen(it: Browser, page: Path) -> None:
    """A request and a script put into the page are seen: without this the zeros above would say nothing."""
    text = page.read_text(encoding="utf-8")
    bad = '<img src="http://127.0.0.1:9/x.png"><script>console.error("ran")</script></body>'
    spoilt = page.with_name("spoilt.html")
    spoilt.write_text(text.replace("</body>", bad), encoding="utf-8")
    it.open(spoilt, *SIZES["desk"])
    assert not any("ran" in line for line in it.complaints), "the policy let a script run"
    stopped = len(it.complaints)
    spoilt.write_text(text.replace("</body>", bad).replace("Content-Security-Policy", "X-Nothing"), encoding="utf-8")
    it.open(spoilt, *SIZES["desk"])
    print(f"with a script and a foreign image put in: {stopped} complaints from the page's policy; without the policy:")
    print(f"  {len(it.outside())} requests to elsewhere, script ran: {any('ran' in line for line in it.complaints)}")
    assert stopped >= 2
    assert it.outside()


def main() -> None:
    program = os.environ.get("CHROMIUM") or next((path for path in map(shutil.which, NAMES) if path), None)
    if program is None:
        sys.exit("there is no Chromium: apt-get install chromium, or name one by CHROMIUM=")
    page = Path("report.html").resolve()
    command = [os.environ.get("NCFM_HUB_PYTHON", sys.executable), "-m", "ncfm_hub", "report"]
    subprocess.run(
        [*command, os.environ["NCFM_HUB_INTEROP_SET"], "--output", page, "-q"], check=True, stdout=subprocess.DEVNULL
    )
    print(subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip())
    print(f"report.html: {page.stat().st_size / 1e6:.2f} MB")
    with browser(program) as it:
        for name in SIZES:
            picture = check_page(it, page, name)
            kept = os.environ.get("NCFM_HUB_INTEROP_FILES")
            if kept and name == "desk":
                Path(kept).mkdir(parents=True, exist_ok=True)
                picture.quantize(128).save(Path(kept) / "report.png", optimize=True)
        check_that_faults_are_seen(it, page)


if __name__ == "__main__":
    main()

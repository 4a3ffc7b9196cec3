"""The page of `inspect --html` in a browser: by keyboard alone, in the dark, on a narrow screen."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
DEADLINE = 120


class Browser:
    """Chromium without a window, spoken to through its debugging pipe: JSON texts that end with a zero byte."""

    def __init__(self, program: str, folder: Path) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        words = [
            program,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            f"--user-data-dir={folder / 'profile'}",
            "--remote-debugging-pipe",
            "about:blank",
        ]
        # The browser reads from 3 and writes to 4.
        script = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self.process = subprocess.Popen(
            ["bash", "-c", script, "browser", *words],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(folder)},
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.sender = os.fdopen(ours_out, "wb", buffering=0)
        self.receiver = os.fdopen(ours_in, "rb", buffering=0)
        self.rest = b""
        self.number = 0
        self.session = ""

    def message(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            data = self.receiver.read(65536)
            if not data:
                pytest.skip("the browser does not run here")
            self.rest += data
        text, _, self.rest = self.rest.partition(b"\0")
        found: dict[str, Any] = json.loads(text)
        return found

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self.number += 1
        wanted = {"id": self.number, "method": method, "params": params}
        if self.session:
            wanted["sessionId"] = self.session
        self.sender.write(json.dumps(wanted).encode() + b"\0")
        while (found := self.message()).get("id") != self.number:
            continue
        assert "error" not in found, found
        result: dict[str, Any] = found["result"]
        return result

    def open(self, path: Path) -> None:
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Page.enable")
        self.ask("Page.navigate", url=f"file://{path}")
        while self.message().get("method") != "Page.loadEventFired":
            continue

    def value(self, expression: str) -> Any:
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str) -> None:
        codes = {"Tab": 9, "Enter": 13}
        text = {"text": "\r"} if key == "Enter" else {}
        common = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def close(self) -> None:
        self.sender.close()
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.receiver.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"none of {', '.join(PROGRAMS)} is installed")
    made = Browser(program, tmp_path)
    yield made
    made.close()


@pytest.fixture
def page(run_smith: Any, make_image: Any) -> Path:
    """Two packages by dpkg's database, and files of none with names that a page must not take for its own text."""
    records = [
        ("var/lib/dpkg/status", b"Package: big\nStatus: install ok installed\nVersion: 1.0-1\nArchitecture: all\n\n"
         b"Package: small\nStatus: install ok installed\nVersion: 2:3.0~rc1-1+a.very.long.version.indeed\n"
         b"Architecture: all\n"),
        ("var/lib/dpkg/info/big.list", b"/usr/lib/big/one\n/usr/lib/big/two\n"),
        ("var/lib/dpkg/info/small.list", b"/usr/share/small/data\n"),
    ]  # fmt: skip
    files = [
        ("usr/lib/big/one", bytes(300_000)),
        ("usr/lib/big/two", bytes(100_000)),
        ("usr/share/small/data", bytes(50_000)),
        ("srv/<b>&'\"", b"x" * 9000),
        ("srv/" + 40 * "a-long-name-", b"x" * 2000),
    ]
    make_image([*records, *files]).write(run_smith.folder / "image.tar")
    run_smith("inspect", "image.tar", "--html", "page.html")
    found: Path = run_smith.folder / "page.html"
    return found


def test_the_map_leads_to_the_files_by_keyboard(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.press("Tab")
    assert browser.value("document.activeElement.textContent") == "Skip the map"
    browser.press("Tab")
    assert browser.value("document.activeElement.getAttribute('aria-label')") == "big 1.0-1, 400.0 kB, 2 files"
    assert browser.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("Enter")
    browser.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    opened = "[...document.querySelectorAll('details[open]')].map(each => each.querySelector('b').textContent)"
    assert browser.value(opened) == ["big"]
    assert browser.value("document.querySelector(':target').rows.length") == 2
    browser.press("Tab")
    browser.press("Enter")
    assert browser.value(opened) == ["big", "small"], "the next line is the next stop, and opens"


def test_skipping_the_map_leads_past_it(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.press("Tab")
    browser.press("Enter")
    browser.press("Tab")
    assert browser.value("document.activeElement.tagName") == "SUMMARY"


@pytest.mark.parametrize("width", [320, 700, 1280])
def test_nothing_sticks_out(browser: Browser, page: Path, width: int) -> None:
    browser.open(page)
    browser.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.value("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("document.querySelector('.map').getBoundingClientRect().height") > 150


CONTRAST = """
(() => {
  const light = text => {
    const parts = text.match(/[\\d.]+/g).slice(0, 3).map(each => each / 255)
      .map(each => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const ratio = (one, two) => {
    const [a, b] = [light(one), light(two)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const style = element => getComputedStyle(element);
  const page = style(document.body);
  return [
    ratio(page.color, page.backgroundColor),
    ...[...document.querySelectorAll('.soft')].map(each => ratio(style(each).color, page.backgroundColor)),
    ...[...document.querySelectorAll('.map a')].map(each => ratio(style(each).color, style(each).backgroundColor)),
  ];
})()
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_by_day_and_by_night(browser: Browser, page: Path, scheme: str) -> None:
    """WCAG 2.2 success criterion 1.4.3: a contrast of 4.5 at least."""
    browser.open(page)
    browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    ratios = browser.value(CONTRAST)
    assert len(ratios) > 3
    assert min(ratios) >= 4.5


def test_names_are_text_and_nothing_else(browser: Browser, page: Path) -> None:
    browser.open(page)
    names = browser.value("[...document.querySelectorAll('td code')].map(each => each.textContent)")
    assert "/srv/<b>&'\"" in names
    assert browser.value("document.querySelectorAll('td b, script, link, img').length") == 0

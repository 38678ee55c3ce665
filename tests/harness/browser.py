"""A real browser: headless Chromium of Debian, driven by its chromedriver."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

WAIT_S = 15.0
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--force-color-profile=srgb",
)  # fmt: skip


class Browser:
    """One window, on one site."""

    def __init__(self, driver: Chrome, root: str) -> None:
        self.driver = driver
        self.root = root

    def go(self, path: str) -> None:
        self.driver.get(self.root + path)

    def at(self, css: str) -> WebElement:
        """Give the one element, as soon as it is there."""
        found: WebElement = WebDriverWait(self.driver, WAIT_S).until(
            lambda driver: driver.find_element(By.CSS_SELECTOR, css)
        )
        return found

    def fill(self, form: str, **fields: str) -> None:
        """Write into the fields of the form whose `action` ends so."""
        for name, value in fields.items():
            field = self.at(f"form[action$='{form}'] [name='{name}']")
            if field.tag_name == "select":
                field.find_element(By.XPATH, f"./option[starts-with(normalize-space(.), '{value}')]").click()
            else:
                field.clear()
                field.send_keys(value)

    def send(self, form: str) -> None:
        """Press the button of that form, and wait for the page that comes."""
        self.press(f"form[action$='{form}'] button[type=submit]")

    def press(self, css: str) -> None:
        """Press, and wait until the page has been left and the next one is there."""
        before = self.at("html")
        element = self.at(css)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()
        waiting = WebDriverWait(self.driver, WAIT_S)
        waiting.until(lambda _: _is_gone(before))
        waiting.until(lambda driver: driver.execute_script("return document.readyState") == "complete")

    def log_in(self, user: str, password: str) -> None:
        self.go("/login")
        self.fill("/login", name=user, password=password)
        self.send("/login")

    @property
    def text(self) -> str:
        """What a reader sees."""
        return self.at("body").text

    @property
    def path(self) -> str:
        return self.driver.current_url.removeprefix(self.root)

    def complaints(self) -> list[str]:
        """What the browser itself complained of since the last call: scripts, policies, what did not load."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]  # selenium's own
        return [str(entry["message"]) for entry in entries]

    def picture(self, to: Path, width: int, *, dark: bool = False) -> None:
        """Take a picture of the whole page, as on a screen of this width."""
        media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        height = self.driver.execute_script("return document.documentElement.scrollHeight")
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**metrics, "height": max(800, height)})
        self.driver.save_screenshot(str(to))
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def overflow(self, width: int) -> int:
        """Give by how many pixels the page is wider than a screen of this width."""
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        wide: int = self.driver.execute_script("return document.documentElement.scrollWidth")
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        return wide - width


def _is_gone(element: WebElement) -> bool:
    try:
        element.is_enabled()
    except WebDriverException:
        return True
    return False


@contextmanager
def open_browser(root: str) -> Iterator[Browser]:
    """Run a browser for the site at `root`; whatever it writes is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="nsu-chromium-", ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = Service("/usr/bin/chromedriver", log_output=subprocess.DEVNULL)
        driver = Chrome(options, service)
        try:
            driver.set_window_size(1280, 900)
            driver.set_page_load_timeout(30)
            yield Browser(driver, root)
        finally:
            driver.quit()

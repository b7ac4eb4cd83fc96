"""Where the reference numbers and the annotated photographs lie; tests that need them skip visibly without them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from synthforge.core.cores import one_thread

# As the commands do, and before anything loads torch.
one_thread()
# A busy machine is no failure: whatever is slow is seen by the suite's own time limits.
settings.register_profile("synthforge", deadline=None, derandomize=True)
settings.load_profile("synthforge")

_BESIDE = Path(__file__).resolve().parents[2] / "shared"


def _folder(variable: str, name: str) -> Path:
    path = Path(os.environ.get(variable) or _BESIDE / name)
    if not path.is_dir():
        pytest.skip(f"{variable} is not set and {name} does not lie beside the checkout")
    return path


@pytest.fixture(scope="session")
def parity_dir() -> Path:
    """Folder of reference inputs and outputs (SYNTHFORGE_PARITY)."""
    return _folder("SYNTHFORGE_PARITY", "parity")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium, driven by playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("SYNTHFORGE_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("there is no Chromium: install it, or name it by SYNTHFORGE_CHROMIUM")
    software = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *software])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """open_page(file, width, dark) -> the page; whatever it logs as an error fails the test at its end."""
    opened: list[Any] = []
    problems: list[str] = []

    def open_it(file: Path, width: int = 1280, dark: bool = False) -> Any:
        scheme = "dark" if dark else "light"
        context = chromium.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce"
        )
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda told: problems.append(told.text) if told.type == "error" else None)
        page.on(
            "request", lambda asked: problems.append(asked.url) if asked.url[:5] not in ("file:", "data:") else None
        )
        page.goto(file.resolve().as_uri())
        return page

    yield open_it
    for context in opened:
        context.close()
    assert not problems


@pytest.fixture
def faults() -> Callable[[Any], list[str]]:
    """faults(page) -> what axe-core calls serious or critical, and whether the page is wider than its window."""
    axe = pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")

    def found(page: Any) -> list[str]:
        page.evaluate(script)
        answer = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        grave = [each for each in answer["violations"] if each["impact"] in ("serious", "critical")]
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in grave] + ["too wide"] * (wide > 0)

    return found


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real annotated photographs (SYNTHFORGE_DATA)."""
    return _folder("SYNTHFORGE_DATA", "data")

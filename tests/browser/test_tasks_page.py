"""The example page of tasks in Debian's Chromium: by socket, by polling while that is cut, and back by socket."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from deploy.examples.tasks.serve import Front
from playwright.async_api import Page, async_playwright, expect
from tests.programs import require
from tests.unit.kinds.tasks.test_alone import TOKEN, alone, settings

PATIENCE = 60_000.0  # milliseconds


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    program = require("chromium")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=sandbox, timeout=PATIENCE)
        page = await browser.new_page()
        page.set_default_timeout(PATIENCE)
        yield page
        await browser.close()


@pytest.mark.timeout(400)
async def test_the_page_follows_a_task_by_socket_falls_back_to_polling_and_comes_back(
    page: Page, tmp_path: Path
) -> None:
    template = "{command: [bash, -c, 'until [ -e $GATE/$PIPELINE_RUN_ID ]; do sleep 0.1; done'], env: {GATE: '%s'}}"
    async with alone(tmp_path, settings(tmp_path, TASK_TEMPLATE=template % tmp_path)) as (one, _):
        runner = web.AppRunner(Front(one.url, TOKEN).app())
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/")
            await _submit(page, "first")
            await _shows(page, status="Running", mode="socket")
            await page.check("#cut")
            await _shows(page, status="Running", mode="polling")
            await page.uncheck("#cut")
            await _shows(page, status="Running", mode="socket")
            await asyncio.to_thread((tmp_path / "first").touch)
            await _shows(page, status="Succeeded", mode="socket")
            await page.check("#cut")
            await _submit(page, "second")
            await _shows(page, status="Running", mode="polling")
            await asyncio.to_thread((tmp_path / "second").touch)
            await _shows(page, status="Succeeded", mode="polling")
            seen = [line.partition(":")[0] for line in await page.locator("#seen li").all_inner_texts()]
            assert seen[-2:] == ["Running", "Succeeded"]
            assert seen[:-2] in ([], ["Pending"])
        finally:
            await runner.cleanup()


async def _submit(page: Page, run: str) -> None:
    await page.fill("[name=run]", run)
    await page.click("button")
    await expect(page.locator("#job")).to_contain_text(f"task-runner-{run}-", timeout=PATIENCE)


async def _shows(page: Page, *, status: str, mode: str) -> None:
    await expect(page.locator("#mode")).to_have_text(mode, timeout=PATIENCE)
    await expect(page.locator("#status")).to_have_text(status, timeout=PATIENCE)

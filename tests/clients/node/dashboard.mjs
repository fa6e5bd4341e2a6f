// Tries the dashboard in a real browser, as Debian's Chromium. The server, its jobs and its upstream come from the caller
// (tests/e2e/admin/browser.rs), which gives their addresses in DASHBOARD, as JSON. Ends with 1 where something is not as it
// should be, after a line for each such step.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const { busy, empty, clients, screenshots, hostile, failed, waiting } = JSON.parse(process.env.DASHBOARD);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
// Without the later flags, Chromium looks for hosts of its maker, which a closed network refuses.
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });

// What no page may do, whatever is shown on it.
function watch(page, problems) {
  page.on("console", (message) => { if (message.type() === "error") problems.push(`console: ${message.text()}`); });
  page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => { problems.push(`a dialog of a script: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => {
    const host = new URL(request.url()).origin;
    if (host !== busy && host !== empty) problems.push(`a request to ${host}`);
  });
}

async function open(path, { server = busy, width = 1440, scheme = "light", isLive = true } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme, reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000); // as the events that the tests in Rust wait for
  page.problems = [];
  watch(page, page.problems);
  if (!isLive) await page.route((url) => url.pathname === "/live", () => {}); // is never answered
  await page.goto(server + path);
  return page;
}

async function done(page) {
  assert.deepEqual(page.problems, []);
  await page.context().close();
}

const screens = {
  overview: "/", upstreams: "/upstreams", jobs: "/jobs", failed_jobs: "/jobs?state=failed", job: `/jobs/${hostile}`,
  failed_job: `/jobs/${failed}`, failed: "/failed", settings: "/settings",
};

const steps = {
  async "every screen is readable and accessible at every width, light and dark"() {
    for (const [width, scheme] of [[1440, "light"], [1440, "dark"], [1024, "light"], [390, "light"], [390, "dark"]]) {
      for (const [name, path] of Object.entries(screens)) {
        const page = await open(path, { width, scheme, isLive: false }); // what axe examines stays as it is
        await page.locator("h1").waitFor();
        const what = `${name} at ${width}, ${scheme}`;
        const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(wider <= 0, `${what} is ${wider} pixels wider than the window`);
        if (width !== 1024) {
          await page.evaluate(axe);
          const { violations } = await page.evaluate(() => axe.run());
          const found = violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html).slice(0, 3)}`);
          assert.deepEqual(found, [], what);
        }
        await page.screenshot({ path: `${screenshots}/${name}-${width}-${scheme}.png` });
        await done(page);
      }
    }
  },

  async "a server without jobs says so"() {
    for (const [path, text] of [["/", "No job has failed"], ["/jobs", "There are no jobs"], ["/failed", "No job has failed"]]) {
      const page = await open(path, { server: empty });
      await page.getByText(text).waitFor();
      await done(page);
    }
  },

  async "a page that is open shows a new job, until its updates are paused"() {
    const page = await open("/jobs?path=/api/news");
    await page.getByText("No job matches").waitFor();
    await fetch(`${clients}/api/news/1`, { method: "POST", body: "x" });
    await page.getByText("/api/news/1").waitFor();
    await page.getByRole("button", { name: "Live" }).click();
    assert.equal(await page.getByRole("button", { name: "Live" }).getAttribute("aria-pressed"), "false");
    const other = await open("/jobs?path=/api/news");
    await fetch(`${clients}/api/news/2`, { method: "POST", body: "x" });
    await other.getByText("/api/news/2").waitFor(); // by then the first page would have it, too
    assert.equal(await page.getByText("/api/news/2").count(), 0);
    await page.getByRole("button", { name: "Live" }).click();
    await page.getByText("/api/news/2").waitFor();
    await done(other);
    await done(page);
  },

  async "what somebody presses or marks is not replaced meanwhile"() {
    const page = await open("/upstreams");
    const changes = async () => {
      const update = page.evaluate(() => new Promise((resolve) => source.addEventListener("page", () => resolve(), { once: true })));
      await fetch(`${clients}/api/presses`, { method: "POST", body: "x" });
      await update;
    };
    await changes(); // the first update is the page as it is
    const pause = page.getByRole("region", { name: "Upstream /api" }).getByRole("button", { name: "Pause" });
    const same = await pause.elementHandle();
    await pause.hover();
    await page.mouse.down();
    await changes();
    await page.mouse.up();
    await page.getByRole("dialog").waitFor();
    assert.ok(await same.evaluate((button) => button.isConnected), "the page has changed behind the dialog");
    await page.keyboard.press("Escape");
    await page.waitForFunction((button) => !button.isConnected, same);

    const heading = await page.getByRole("heading", { name: "/api" }).elementHandle();
    await heading.evaluate((element) => getSelection().selectAllChildren(element));
    await changes();
    assert.ok(await heading.evaluate((element) => element.isConnected), "what was marked is gone");
    await page.evaluate(() => getSelection().removeAllRanges());
    await page.waitForFunction((element) => !element.isConnected, heading);
    await done(page);
  },

  async "a filter stays in the address"() {
    const page = await open("/jobs?state=failed");
    await page.getByLabel("Path begins with").fill("/dead/1");
    await page.getByLabel("Method").fill("POST");
    await page.getByRole("button", { name: "Filter", exact: true }).click();
    await page.waitForURL(/path=%2Fdead%2F1/);
    const query = new URL(page.url()).searchParams;
    assert.deepEqual([query.get("state"), query.get("path"), query.get("method")], ["failed", "/dead/1", "POST"]);
    await page.reload();
    assert.equal(await page.getByLabel("Path begins with").inputValue(), "/dead/1");
    assert.equal(await page.locator("table.jobs tbody tr").count(), 1);
    await page.getByRole("link", { name: /^completed/ }).click();
    await page.getByText("No job matches").waitFor();
    assert.equal(new URL(page.url()).searchParams.get("path"), "/dead/1");
    await done(page);
  },

  async "what a client chose is shown as text"() {
    const page = await open(`/jobs/${hostile}`);
    const text = await page.locator("main").innerText();
    for (const part of ["%3Cscript%3E", "<script>alert('header')</script>", "</pre><script>alert('body')</script>",
      "<script>alert('answer')</script>", "(secret)"]) {
      assert.ok(text.includes(part), `${part} is not in: ${text}`);
    }
    assert.ok(!text.includes("hush"), "a secret is shown");
    assert.equal(await page.locator("main script").count(), 0);
    await page.goto(`${busy}/jobs`);
    await page.getByText("%3Cscript%3E").first().waitFor();
    // Nor does the policy let one run that got there.
    const ran = await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.body.append(script);
      return window.ran === true;
    });
    assert.equal(ran, false);
    page.problems = page.problems.filter((problem) => !problem.includes("Content Security Policy"));
    await done(page);
  },

  async "a pause asks first, then holds, then is taken back"() {
    const page = await open("/upstreams");
    const card = page.getByRole("region", { name: "Upstream /api" });
    await card.getByRole("button", { name: "Pause" }).click();
    await page.getByRole("dialog").getByText("No job of the queue").waitFor();
    await page.getByRole("button", { name: "Leave it" }).click();
    await card.getByRole("button", { name: "Pause" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Pause" }).click();
    await card.getByRole("button", { name: "Resume" }).waitFor();
    await card.getByText("paused").waitFor();
    await card.getByRole("button", { name: "Resume" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Resume" }).click();
    await card.getByRole("button", { name: "Pause" }).waitFor();
    await done(page);
  },

  async "a job is cancelled after a question"() {
    const page = await open(`/jobs/${waiting}`);
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("dialog").getByText("This cannot be undone").waitFor();
    await page.keyboard.press("Escape");
    assert.equal((await fetch(`${busy}/api/v1/jobs/${waiting}`)).status, 200, "it is still there");
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    await page.waitForURL(`${busy}/jobs`);
    assert.equal((await fetch(`${busy}/api/v1/jobs/${waiting}`)).status, 404);
    await done(page);
  },

  async "failed jobs are counted before they are retried"() {
    const page = await open("/failed");
    const group = page.locator("section.failure").first();
    await group.getByRole("button", { name: "Retry these" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText(/^\d+ jobs\./).waitFor();
    await dialog.getByRole("checkbox").check();
    // It is told for a few seconds.
    await page.evaluate(() => {
      window.told = [];
      new MutationObserver(() => window.told.push(find("toast").textContent)).observe(find("toast"), { childList: true });
    });
    await dialog.getByRole("button", { name: "Retry these" }).click();
    await page.waitForFunction(() => window.told.some((text) => text.includes("done in the background")));
    await page.getByText(/retry\s+done/).waitFor();
    await done(page);
  },

  async "a keyboard alone reaches everything"() {
    const page = await open("/upstreams");
    const press = (key) => page.keyboard.press(key);
    const focused = () => page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.getAttribute("aria-label"));
    await press("Tab");
    assert.equal(await focused(), "Skip to content");
    await press("Enter");
    const reached = new Set();
    for (let number = 0; number < 60 && !reached.has("Pause"); number += 1) {
      await press("Tab");
      reached.add(await focused());
    }
    assert.ok(reached.has("Pause"), [...reached].join(", "));
    await press("Enter");
    await page.getByRole("dialog").waitFor();
    assert.equal(await focused(), "Leave it", "the harmless answer comes first");
    await press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    assert.equal(await focused(), "Pause", "the focus is back where it was");
    // What is focused is visible, and stays focused when the page is updated.
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, "none");
    await page.goto(`${busy}/`);
    for (const name of ["Overview", "Upstreams", "Jobs", "Failed", "Settings"]) {
      await page.getByRole("link", { name, exact: true }).first().focus();
      assert.equal(await focused(), name);
    }
    await done(page);
  },

  async "colors are as chosen, also after a reload"() {
    const page = await open("/");
    const dark = () => page.evaluate(() => document.documentElement.dataset.theme);
    await page.getByRole("button", { name: /light and dark/ }).click();
    assert.equal(await dark(), "dark");
    await page.reload();
    assert.equal(await dark(), "dark");
    await done(page);
  },
};

let failures = 0;
for (const [name, step] of Object.entries(steps)) {
  try {
    await step();
    console.log(`ok: ${name}`);
  } catch (error) {
    failures += 1;
    console.log(`FAILED: ${name}\n${error.stack}`);
  }
}
await browser.close();
process.exitCode = failures ? 1 : 0;

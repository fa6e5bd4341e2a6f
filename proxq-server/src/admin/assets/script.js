"use strict";

const find = (id) => document.getElementById(id);
const main = find("live");

// Colors: as the system says, until somebody chooses.
const theme = {
  get: () => { try { return localStorage.getItem("proxq-theme"); } catch { return null; } },
  set: (value) => { try { localStorage.setItem("proxq-theme", value); } catch { /* private mode */ } },
  show: (value) => { if (value) document.documentElement.dataset.theme = value; },
};
theme.show(theme.get());
find("theme-toggle").addEventListener("click", () => {
  const isDark = theme.get() ? theme.get() === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  theme.set(isDark ? "light" : "dark");
  theme.show(theme.get());
});

// Live updates: the server sends the part of the page that has changed.
let source = null;
let isWanted = true;
let latest = null; // not shown yet

function show(html) {
  const focused = document.activeElement;
  const isInside = focused && main.contains(focused);
  const place = isInside ? path(focused) : null;
  const scrolled = [...main.querySelectorAll("pre.code, .scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
  main.innerHTML = html;
  [...main.querySelectorAll("pre.code, .scroll")].forEach((box, index) => {
    if (scrolled[index]) [box.scrollLeft, box.scrollTop] = scrolled[index];
  });
  if (place) at(place)?.focus({ preventScroll: true });
}

// Where an element is: its id, or the index of each step from the changing part.
function path(element) {
  if (element.id) return element.id;
  const steps = [];
  for (let step = element; step !== main; step = step.parentElement) steps.unshift([...step.parentElement.children].indexOf(step));
  return steps;
}
function at(place) {
  return typeof place === "string" ? find(place) : place.reduce((element, index) => element?.children[index], main);
}

function connect() {
  if (source || !isWanted || document.hidden) return;
  source = new EventSource(document.body.dataset.live);
  source.addEventListener("open", () => { find("lost").hidden = true; });
  source.addEventListener("error", () => {
    find("lost").hidden = false;
    // The browser tries again by itself, unless the answer was no stream of events.
    if (source && source.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(connect, 3000);
    }
  });
  source.addEventListener("page", (event) => {
    find("lost").hidden = true;
    latest = JSON.parse(event.data);
    update();
  });
}
function disconnect() {
  source?.close();
  source = null;
}
// Shows what came last, as soon as that is in nobody's way.
function update() {
  if (latest === null || find("ask").open || isSelecting() || isPressing) return;
  const html = latest;
  latest = null;
  show(html);
}
// Somebody who marks text would lose it.
function isSelecting() {
  const selection = getSelection();
  return selection && !selection.isCollapsed && main.contains(selection.anchorNode);
}
document.addEventListener("selectionchange", update);
// A button that is replaced between its press and its release is not clicked.
let isPressing = false;
function press() { isPressing = true; }
function release() {
  // The click comes after the release.
  setTimeout(() => { isPressing = false; update(); });
}
document.addEventListener("pointerdown", (event) => { if (event.isPrimary && event.button === 0) press(); });
for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, release);
document.addEventListener("keydown", (event) => { if (event.key === " ") press(); });
document.addEventListener("keyup", (event) => { if (event.key === " ") release(); });
addEventListener("blur", release);
find("live-toggle").addEventListener("click", (event) => {
  isWanted = !isWanted;
  event.currentTarget.setAttribute("aria-pressed", String(isWanted));
  if (isWanted) connect(); else { disconnect(); find("lost").hidden = true; }
});
document.addEventListener("visibilitychange", () => { if (document.hidden) disconnect(); else connect(); });
connect();

// Orders: ask first, send, say what became of it.
async function send(url, body) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Proxq-Admin": "1" },
    body: JSON.stringify(body),
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.detail ?? `the answer was ${answer.status}`);
  return said;
}
function toast(text, isBad) {
  const box = find("toast");
  box.textContent = text;
  box.classList.toggle("bad", Boolean(isBad));
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { box.textContent = ""; }, isBad ? 9000 : 4000);
}
function number(count) {
  return String(count).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

// One at a time. Its button stays as it is, so that the focus comes back to it.
let isOrdering = false;

async function carryOut(button) {
  const { url, title, text, check, member } = button.dataset;
  const body = JSON.parse(button.dataset.body);
  const ask = find("ask");
  find("ask-title").textContent = title;
  find("ask-text").textContent = text;
  find("ask-check").hidden = !check;
  find("ask-check").lastElementChild.textContent = check ?? "";
  find("ask-box").checked = false;
  find("ask-yes").textContent = button.textContent;
  find("ask-yes").disabled = false;
  if ("counts" in button.dataset) {
    const { jobs, complete } = await send(url, { ...body, dryRun: true });
    find("ask-text").textContent = `${complete ? "" : "At least "}${number(jobs)} ${jobs === 1 ? "job" : "jobs"}. ${text}`;
    find("ask-yes").disabled = complete && jobs === 0;
  }
  ask.returnValue = "";
  ask.showModal();
  await new Promise((resolve) => ask.addEventListener("close", resolve, { once: true }));
  update();
  if (ask.returnValue !== "yes") return;
  if (member) body[member] = find("ask-box").checked;
  const said = await send(url, body);
  if (url.endsWith("/resubmit")) { location.href = `/jobs/${said.id}`; return; }
  if (said.status === "cancelled") { location.href = "/jobs"; return; }
  toast(`${button.textContent}: done${said.status === "running" ? " in the background" : ""}`);
  disconnect();
  connect();
}

document.addEventListener("click", (event) => {
  const order = event.target.closest("button.order");
  if (order && !isOrdering) {
    isOrdering = true;
    carryOut(order).catch((error) => toast(error.message, true)).finally(() => { isOrdering = false; });
  }
  const copy = event.target.closest("button.copy");
  if (copy) {
    const text = find(copy.dataset.copy).textContent;
    (navigator.clipboard ? navigator.clipboard.writeText(text) : Promise.reject(new Error("the browser allows it on localhost and HTTPS alone")))
      .then(() => toast("Copied"), (error) => toast(`Not copied: ${error.message}`, true));
  }
});

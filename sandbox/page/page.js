// The demo's page: keeps one frame per channel, switches app and who is looking, and marks how far the visitor has come.
"use strict";

const POLL_MS = 700;
const MISSES_BEFORE_GONE = 3;

const byId = (id) => document.getElementById(id);
const frames = new Map(); // channel id -> iframe
const sites = new Map(); // address -> iframe
const seen = new Map(); // channel id -> number of messages when last looked at
let state = null;
let person = null;
let channel = null;
let app = null; // the name of the one whose sites are shown
let misses = 0;

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function tell(frame) {
  if (person) frame.contentWindow?.postMessage({ viewer: person }, "*");
}

function frameOf(id) {
  const place = state.channels.find((entry) => entry.id === id);
  if (!place) return null;
  if (!frames.has(id)) {
    const frame = element("iframe", { title: `#${place.name}`, src: place.url });
    frame.addEventListener("load", () => tell(frame));
    frames.set(id, frame);
    byId("frames").append(frame);
  }
  return frames.get(id);
}

function show(id) {
  const frame = frameOf(id);
  if (!frame) return;
  channel = id;
  app = appOf(state.channels.find((entry) => entry.id === id))?.name ?? app;
  for (const other of frames.values()) other.classList.toggle("shown", other === frame);
  tell(frame);
  draw();
  frame.focus();
}

// The app that a channel or a thread is about; that of everybody's channel is the one that was looked at last.
function appOf(place) {
  return place && state.apps.find((one) => one.channel === (place.within ?? place.id));
}

function become(id) {
  person = id;
  for (const frame of frames.values()) tell(frame);
  drawPeople();
}

// Only what has changed is drawn anew, so that a click never meets a button that is being replaced.
function drawn(root, signature, draw) {
  if (root.dataset.signature === signature) return;
  root.dataset.signature = signature;
  root.replaceChildren(...draw());
}

function drawPeople() {
  drawn(byId("people"), JSON.stringify([state.people, person]), () => state.people.map((one) => {
    const face = element("span", { className: "face", textContent: one.name[0] });
    face.style.background = one.colour;
    const button = element("button", { type: "button", title: `Act as ${one.name}` }, face,
      element("span", {}, element("b", { textContent: one.name }), one.title));
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", String(one.id === person));
    button.dataset.person = one.name;
    button.addEventListener("click", () => become(one.id));
    return button;
  }));
}

function unread(place) {
  return place.messages > (seen.get(place.id) ?? 0);
}

function drawChannels() {
  const current = state.channels.find((entry) => entry.id === channel);
  if (current) seen.set(current.id, current.messages);
  const listed = state.channels.filter((entry) => !entry.within || appOf(entry)?.name === app);
  const signature = JSON.stringify(listed.map((entry) => [entry.id, entry.name, unread(entry), entry.id === channel]));
  drawn(byId("channels"), signature, () => listed.map((entry) => {
    const button = element("button", { type: "button", className: unread(entry) ? "unread" : "", title: entry.name },
      element("i", { textContent: entry.within ? "↳" : "#" }), element("span", { textContent: entry.name }));
    button.setAttribute("role", "tab");
    button.setAttribute("aria-selected", String(entry.id === channel));
    button.dataset.channel = entry.name;
    button.addEventListener("click", () => show(entry.id));
    return button;
  }));
}

function drawApps() {
  const news = (one) => one.name !== app && state.channels.some((entry) => appOf(entry) === one && unread(entry));
  drawn(byId("apps"), JSON.stringify([app, state.apps.map((one) => [one.name, news(one)])]), () => state.apps.map((one) => {
    const button = element("button", { type: "button", className: news(one) ? "unread" : "" },
      element("b", { textContent: one.name }), element("span", { textContent: `on ${one.runs_on}` }));
    button.setAttribute("role", "tab");
    button.setAttribute("aria-selected", String(one.name === app));
    button.dataset.app = one.name;
    button.addEventListener("click", () => show(one.channel));
    return button;
  }));
}

function drawSite(id, site, shown) {
  const root = byId(id);
  if (!sites.has(site.url)) {
    const frame = element("iframe", { title: root.querySelector("h2").textContent, src: site.url });
    frame.addEventListener("load", () => { frame.dataset.drawn = "true"; });
    sites.set(site.url, frame);
    root.append(frame);
  }
  sites.get(site.url).classList.toggle("shown", shown);
  if (!shown) return;
  const [dot, link] = [root.querySelector("i"), root.querySelector("a")];
  if (link.href !== site.url) {
    link.href = site.url;
    link.replaceChildren(element("span", { textContent: `${new URL(site.url).host} ` }), "↗");
  }
  dot.style.background = site.colour ?? "";
  dot.title = site.version ?? "nothing answers";
}

function drawSteps(shown) {
  const order = ["deploy", "approve", "rollback"];
  const now = order.indexOf(shown.step);
  for (const word of document.querySelectorAll("[data-say]")) word.textContent = shown[word.dataset.say];
  order.forEach((step, index) => {
    const item = document.querySelector(`[data-step="${step}"]`);
    item.classList.toggle("now", index === now);
    item.classList.toggle("done", now < 0 || index < now);
  });
  // Whoever has seen it all is told what else there is; the first step makes room.
  document.querySelector('[data-step="more"]').hidden = now >= 0;
  document.querySelector('[data-step="more"]').classList.toggle("now", now < 0);
  document.querySelector('[data-step="deploy"]').hidden = now < 0;
  const other = state.apps.find((one) => one !== shown);
  byId("other").textContent = other.name;
  byId("other").onclick = () => show(other.channel);
}

function draw() {
  const shown = state.apps.find((one) => one.name === app);
  drawPeople();
  drawChannels();
  drawApps();
  for (const one of state.apps) {
    drawSite("production", one.production, one === shown);
    drawSite("preview", one.preview, one === shown);
  }
  drawSteps(shown);
}

async function poll() {
  try {
    const answer = await fetch("/state", { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    state = await answer.json();
    misses = 0;
    byId("gone").hidden = true;
  } catch {
    misses += 1;
    byId("gone").hidden = misses < MISSES_BEFORE_GONE;
    return;
  }
  if (person === null) person = state.people[0].id;
  if (channel === null) for (const entry of state.channels) seen.set(entry.id, entry.messages);
  if (channel === null) show(state.apps[0].channel);
  else draw();
}

window.addEventListener("message", (event) => {
  const source = [...frames].find(([, frame]) => frame.contentWindow === event.source);
  if (!source) return;
  if (typeof event.data?.open === "string") show(event.data.open);
  if (event.data?.ready) tell(source[1]);
  if (event.data?.drawn) source[1].dataset.drawn = "true";
});

void poll();
setInterval(poll, POLL_MS);

// Joins the page to the frame around it: who is looking is chosen there, links into Discord are opened there.
"use strict";

(() => {
  const outside = window.parent === window ? null : window.parent;
  let wanted = null;
  let reported = null;

  const picker = () => document.getElementById("viewer-picker");

  // The page draws its picker anew with every snapshot and refuses a switch while it acts: so insist until it is so.
  function insist() {
    const select = picker();
    if (!select || !select.value) return;
    if (wanted && select.value !== wanted && [...select.options].some((option) => option.value === wanted)) {
      select.value = wanted;
      select.dispatchEvent(new Event("change", { bubbles: true }));
      return;
    }
    if (select.value !== reported) {
      reported = select.value;
      outside?.postMessage({ viewer: reported }, "*");
    }
  }

  // A link to a channel or to a message in it: [channel, message or undefined].
  function place(href) {
    const found = /^https:\/\/discord\.com\/channels\/\d+\/(\d+)(?:\/(\d+))?/.exec(href ?? "");
    return found ? found.slice(1) : null;
  }

  function open(event, channel, message) {
    event.preventDefault();
    event.stopPropagation();
    const here = message && document.querySelector(`.channel-message[data-message-id="${CSS.escape(message)}"]`);
    if (here) {
      following = false;
      here.scrollIntoView({ behavior: "smooth", block: "center" });
    }
    else outside?.postMessage({ open: channel }, "*");
  }

  // Discord writes such a link as what it leads to.
  function nameLinks() {
    for (const link of document.querySelectorAll('a[href^="https://discord.com/channels/"]')) {
      const target = link.textContent === link.getAttribute("href") && place(link.getAttribute("href"));
      if (target) link.textContent = target[1] ? "💬 message" : "# channel";
    }
  }

  window.addEventListener("message", (event) => {
    if (event.source !== outside || typeof event.data?.viewer !== "string") return;
    wanted = event.data.viewer;
    insist();
  });

  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const linked = place(target?.closest("a")?.getAttribute("href"));
    if (linked) open(event, ...linked);
    const thread = target?.closest(".thread-summary");
    const message = thread?.closest("[data-message-id]");
    // A thread that began at a message has the message's id.
    if (message) open(event, message.getAttribute("data-message-id"));
  }, true);

  // A command typed out ("/deploy image:green") becomes a command, as in Discord; the page alone wants it picked.

  function put(field, value) {
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function pick(name) {
    const entries = [...document.querySelectorAll(".command-entry")];
    const entry = entries.find((one) => one.querySelector("strong")?.textContent === name);
    entry?.click();
    return Boolean(entry);
  }

  const fieldOf = (option) => document.querySelector(`.command-option-input[data-option="${CSS.escape(option)}"]`);

  function addOption(option) {
    document.querySelector(".command-ghost")?.click();
    const choices = [...document.querySelectorAll(".command-suggestion")];
    choices.find((one) => one.dataset.value === option)?.click();
    return fieldOf(option);
  }

  function fill(text) {
    const first = document.querySelector(".command-option-input");
    for (const part of text.split(/\s+(?=[\w-]+:)/)) {
      const named = /^([\w-]+):\s*(.*)$/s.exec(part);
      const field = named ? fieldOf(named[1]) ?? addOption(named[1]) : first;
      if (!field) continue;
      field.focus();
      put(field, named ? named[2] : part);
    }
  }

  document.addEventListener("keydown", (event) => {
    const input = event.target;
    if (!(input instanceof HTMLTextAreaElement) || input.id !== "channel-composer-input" || event.isComposing) return;
    if (event.key === " " && /^\/[\w-]+$/.test(input.value) && pick(input.value)) {
      event.preventDefault();
      return;
    }
    const typed = event.key === "Enter" && !event.shiftKey && /^(\/[\w-]+)\s+(.+)$/s.exec(input.value.trim());
    if (!typed) return;
    put(input, typed[1]);
    if (!pick(typed[1])) {
      put(input, typed[0]);
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    fill(typed[2]);
  }, true);

  // Enter sends, unless it has something to pick: a choice that is not typed out yet, or one reached by the arrows.
  // The page would pick a choice again for ever, and an option where none was asked for.
  let arrows = false;
  document.addEventListener("keydown", (event) => {
    const at = event.target instanceof Element ? event.target : null;
    if (["ArrowDown", "ArrowUp"].includes(event.key)) arrows = true;
    if (event.key !== "Enter" || !at?.matches(".command-option-input, .command-chip")) return;
    const active = document.querySelector(".command-suggestion[aria-selected='true']");
    // "True" is shown for true.
    const same = (one, other) => one === other || (/^(true|false)$/.test(one) && one === other.toLowerCase());
    const typedOut = at instanceof HTMLInputElement && active && same(active.dataset.value, at.value);
    const unasked = at.matches(".command-chip") && !arrows;
    arrows = false;
    if (active && (typedOut || unasked)) {
      at.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true, cancelable: true }));
    }
  }, true);

  document.addEventListener("input", (event) => {
    const field = event.target;
    if (!(field instanceof HTMLInputElement) || !field.matches(".command-option-input")) return;
    const own = `${field.dataset.option}:`;
    if (field.value.startsWith(own)) {
      event.stopImmediatePropagation();
      put(field, field.value.slice(own.length));
      return;
    }
    const another = /^(.*?)\s+([\w-]+):$/.exec(field.value);
    if (!another || fieldOf(another[2])) return;
    put(field, another[1]);
    if (!addOption(another[2])) put(field, another[0].trimEnd() + " ");
  }, true);

  // The newest message stays in sight until the visitor scrolls away from it.
  let following = true;
  const timeline = () => document.getElementById("channel-timeline");
  const below = (element) => element.scrollHeight - element.scrollTop - element.clientHeight;

  function follow() {
    const element = timeline();
    if (following && element && below(element) > 1) element.scrollTop = element.scrollHeight;
  }

  // Only a person causes these; the page moves the timeline by itself as well.
  function scrolls(event) {
    if (event.type === "keyup") return ["PageUp", "PageDown", "Home", "End"].includes(event.key);
    return event.type !== "pointerup" || event.target === timeline(); // its scroll bar
  }

  for (const kind of ["wheel", "touchmove", "pointerup", "keyup"]) {
    document.addEventListener(kind, (event) => {
      if (!scrolls(event)) return;
      setTimeout(() => { // the scrolling comes after the event
        const element = timeline();
        if (element) following = below(element) < 60;
      }, 150);
    }, { capture: true, passive: true });
  }

  // After a command was sent, typing goes on where it began.
  let composing = false;

  function resume() {
    const now = Boolean(document.querySelector(".command-row"));
    if (composing && !now) {
      following = true;
      if (document.hasFocus()) document.getElementById("channel-composer-input")?.focus();
    }
    composing = now;
  }

  // What the page has to say about the last action stands in its toolbar, which is hidden here; failures must be seen.
  function note() {
    const status = document.getElementById("action-status")?.textContent ?? "";
    const bad = /fail|reject|timed out|unavailable|uncertain|not respond|invalid|error|unacknowledged/i.test(status);
    let shown = document.getElementById("action-note");
    if (!bad) {
      shown?.remove();
      return;
    }
    if (!shown) {
      shown = document.createElement("div");
      shown.id = "action-note";
      shown.setAttribute("role", "status");
      document.body.append(shown);
    }
    if (shown.textContent !== status) shown.textContent = status;
  }

  // Whoever frames the page cannot look into it, and may want to know that there is something to see.
  let drawn = false;

  function tellOnceDrawn() {
    if (drawn || !window.simcordPreview?.ready) return;
    drawn = true;
    outside?.postMessage({ drawn }, "*");
  }

  window.addEventListener("DOMContentLoaded", () => {
    setInterval(() => { insist(); note(); nameLinks(); follow(); resume(); tellOnceDrawn(); }, 200);
    outside?.postMessage({ ready: true }, "*");
  });
})();

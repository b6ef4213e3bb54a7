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

  function channelOf(href) {
    const found = /^https:\/\/discord\.com\/channels\/\d+\/(\d+)/.exec(href ?? "");
    return found ? found[1] : null;
  }

  function open(event, channel) {
    event.preventDefault();
    event.stopPropagation();
    outside?.postMessage({ open: channel }, "*");
  }

  window.addEventListener("message", (event) => {
    if (event.source !== outside || typeof event.data?.viewer !== "string") return;
    wanted = event.data.viewer;
    insist();
  });

  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const channel = channelOf(target?.closest("a")?.getAttribute("href"));
    if (channel) open(event, channel);
    const thread = target?.closest(".thread-summary");
    const message = thread?.closest("[data-message-id]");
    // A thread that began at a message has the message's id.
    if (message) open(event, message.getAttribute("data-message-id"));
  }, true);

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

  window.addEventListener("DOMContentLoaded", () => {
    setInterval(() => { insist(); note(); }, 200);
    outside?.postMessage({ ready: true }, "*");
  });
})();

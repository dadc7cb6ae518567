// One case after the other: a key decides, the next is there at once, and decisions are sent one by one behind it.
"use strict";
const PREFETCHED = 6;
const byId = (id) => document.getElementById(id);
const cases = [...document.querySelectorAll(".case")], form = byId("decision");
const past = [];  // decisions of this visit, for undo
let at = 0, sending = Promise.resolve(), unsent = 0;

function load(article) {
  for (const image of article ? article.querySelectorAll("img[data-src]") : []) {
    image.src = image.dataset.src;
    image.removeAttribute("data-src");
  }
}

function allowed(article, verdict) {
  const { subject, photo } = article.dataset;
  if (verdict === "wrong") return subject !== "people";
  if (verdict === "belongs") return subject !== "people" && photo === "yes";
  return true;
}

function nameTo() {
  const to = byId("to").value.trim();
  for (const place of form.querySelectorAll(".to")) place.textContent = to || "…";
}

function show(focus = true) {
  cases.forEach((article, place) => { article.hidden = place !== at; });
  for (let ahead = at; ahead <= at + PREFETCHED; ahead += 1) load(cases[ahead]);
  const article = cases[at];
  byId("done").hidden = Boolean(article);
  form.hidden = !article && !past.length;
  byId("undo").disabled = !past.length;
  for (const button of form.querySelectorAll("[data-verdict]")) button.disabled = !article || !allowed(article, button.dataset.verdict);
  byId("skip").disabled = !article;
  if (article) {
    byId("to").value = article.dataset.suggestion;
    nameTo();
  }
  if (focus) (article ? article.querySelector("h2") : byId("done")).focus();
}

function count(decided, left) {
  byId("decided").textContent = decided;
  byId("left").textContent = Number(byId("left").textContent) + left;
  byId("commit").disabled = !Number(decided);
}

function send(path, body, then) {
  unsent += 1;
  byId("saving").textContent = "Saving.";
  sending = sending.then(async () => {
    try {
      const wanted = body();
      if (wanted) then(await ask("POST", path, wanted));
    } catch (error) {
      return error;
    } finally {
      unsent -= 1;
      if (!unsent) byId("saving").textContent = "Saved.";
    }
  });
  return sending;
}

async function decide(verdict) {
  const article = cases[at], to = byId("to").value.trim();
  if (!article || !allowed(article, verdict)) return;
  const named = verdict === "belongs" || verdict === "same";
  if (named && !to) {
    byId("to").focus();
    return;
  }
  const made = { article, place: at, token: "" };
  past.push(made);
  showTrouble("");
  at += 1;
  show();
  const body = () => ({ case: article.dataset.case, verdict, to: named ? to : "", seen: "" });
  const error = await send("review-decide", body, (found) => {
    made.token = found.token;
    count(found.decided, -1);
  });
  if (error) fail(made, error);
}

// the case comes back with the reason, before the one that is on the screen by then
function fail(made, error) {
  if (past.includes(made)) past.splice(past.indexOf(made), 1);
  if (at > made.place) {
    cases.splice(made.place, 1);
    for (const other of past) if (other.place > made.place) other.place -= 1;
    at -= 1;
    cases.splice(at, 0, made.article);
  }
  show();
  showTrouble(error.message);
}

async function undo() {
  const made = past.pop();
  if (!made) return;
  at = made.place;
  showTrouble("");
  show();
  const body = () => made.token && { case: made.article.dataset.case, seen: made.token };
  const error = await send("review-undo", body, (found) => count(found.decided, 1));
  if (error) showTrouble(error.message);
}

function skip() {
  const [article] = cases.splice(at, 1);
  cases.push(article);
  show();
}

const KEYS = {
  r: () => decide("right"), w: () => decide("wrong"), b: () => decide("belongs"), s: () => decide("same"), u: undo, n: skip,
  p: () => byId("to").select(),
};
if (form) {
  for (const button of form.querySelectorAll("[data-verdict]")) button.addEventListener("click", () => decide(button.dataset.verdict));
  byId("undo").addEventListener("click", undo);
  byId("skip").addEventListener("click", skip);
  byId("to").addEventListener("input", nameTo);
  form.addEventListener("submit", (event) => event.preventDefault());
  byId("keys").checked = localStorage.getItem("review-keys") !== "off";
  byId("keys").addEventListener("change", (event) => localStorage.setItem("review-keys", event.target.checked ? "on" : "off"));
  document.addEventListener("keydown", (event) => {
    const inField = event.target.matches("input:not([type=checkbox]), dialog *");
    if (event.key === "Escape" && inField) event.target.blur();
    if (inField || event.ctrlKey || event.altKey || event.metaKey || event.repeat || !byId("keys").checked) return;
    const work = KEYS[event.key.toLowerCase()];
    if (work) {
      event.preventDefault();
      work();
    }
  });
  for (const button of document.querySelectorAll(".take-back")) {
    button.addEventListener("click", async () => {
      const error = await send("review-undo", () => ({ case: button.dataset.case, seen: button.dataset.token }), (found) => count(found.decided, 0));
      if (error) showTrouble(error.message);
      else location.reload();
    });
  }
  byId("commit").addEventListener("click", async () => {
    byId("commit").disabled = true;
    byId("progress").textContent = "The decisions are being committed.";
    showTrouble("");
    await sending;
    try {
      const made = await ask("POST", "review-commit");
      byId("decided").textContent = made.stays.length;
      past.length = 0;
      byId("undo").disabled = true;
      byId("draft").hidden = true;
      if (made.stays.length) showTrouble(`${made.stays.length} stay in the draft. ${made.stays.map((one) => `${one.what}: ${one.why}`).join(" ")}`);
      await follow(made);
    } catch (error) {
      byId("progress").textContent = "";
      byId("commit").disabled = false;
      showTrouble(error.message);
    }
  });
  addEventListener("beforeunload", (event) => { if (unsent) event.preventDefault(); });
  show(false);
}

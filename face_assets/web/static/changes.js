// Sends changes to the API, shows why one is refused, and follows its commit until it is live.
"use strict";
const MILLISECONDS_BETWEEN_LOOKS = 1000;
const STATES = {
  waiting: "waits for its run", running: "is being judged and deployed", live: "is live", refused: "was refused",
  failed: "failed", held: "is not in production",
};

function showTrouble(text) {
  const trouble = document.getElementById("trouble");
  trouble.hidden = !text;
  trouble.textContent = text;
  if (text) trouble.scrollIntoView({ block: "nearest" });
}

async function ask(method, path, body) {
  const json = body !== undefined && !(body instanceof FormData);
  let response;
  try {
    response = await fetch(path, {
      method, body: json ? JSON.stringify(body) : body, headers: json ? { "Content-Type": "application/json" } : {},
    });
  } catch {
    throw new Error("The web service does not respond: nothing was changed, or the change is not confirmed. Load the page again.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(answer.error || `The web service failed (${response.status}).`), { answer });
  return answer;
}

async function follow(change) {
  const progress = document.getElementById("progress");
  for (;;) {
    const found = await ask("GET", change.follow.replace(/^\//, ""));
    const text = `${change.change}: commit ${change.commit.slice(0, 12)} ${STATES[found.state] || found.state}. ${found.reason}`;
    if (progress.textContent !== text) progress.textContent = text;
    if (!["waiting", "running"].includes(found.state)) return;
    await new Promise((resolve) => setTimeout(resolve, MILLISECONDS_BETWEEN_LOOKS));
  }
}

async function make(method, path, body, then) {
  const buttons = [...document.querySelectorAll("main button")].filter((button) => !button.disabled);
  showTrouble("");
  document.getElementById("progress").textContent = "The change is being committed.";
  for (const button of buttons) button.disabled = true;
  try {
    const change = await ask(method, path, body);
    sessionStorage.setItem("change", JSON.stringify(change));
    location.assign(then);
  } catch (error) {
    document.getElementById("progress").textContent = "";
    showTrouble(error.message);
    for (const button of buttons) button.disabled = false;
  }
}

// after the page is loaded again with what the change made of it
const made = sessionStorage.getItem("change");
if (made) {
  sessionStorage.removeItem("change");
  follow(JSON.parse(made)).catch((error) => showTrouble(error.message));
}

// names of people that begin a list as one types
for (const input of document.querySelectorAll("input.person-name")) {
  input.addEventListener("input", async () => {
    const text = input.value;
    const found = await ask("GET", `api/v1/people?limit=20&q=${encodeURIComponent(text)}`).catch(() => ({ people: [] }));
    if (input.value !== text) return;
    const options = found.people.map((person) => Object.assign(document.createElement("option"), { value: person.name }));
    document.getElementById(input.getAttribute("list")).replaceChildren(...options);
  });
}

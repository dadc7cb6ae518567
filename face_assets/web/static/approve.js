// Approves the candidate in the name of who has signed in, or says why that is refused.
"use strict";
const approval = document.getElementById("approve");
if (approval) {
  approval.addEventListener("submit", async (event) => {
    event.preventDefault();
    const version = approval.dataset.version, button = approval.querySelector("button");
    showTrouble("");
    button.disabled = true;
    try {
      const made = await ask("POST", `api/v1/releases/${version}/approve`, { note: document.getElementById("note").value });
      approval.hidden = true;
      document.getElementById("progress").textContent =
        `${made.version} was approved by ${made.approved_by}, ${made.time}. It is deployed by every machine that follows production.`;
    } catch (error) {
      showTrouble(error.message);
      button.disabled = false;
    }
  });
}

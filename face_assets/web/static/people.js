// The pages of people: forms and buttons become requests of the API.
"use strict";
const shown = document.getElementById("person"), person = shown && shown.dataset.name;
const api = (name) => `api/v1/people/${encodeURIComponent(name)}`;
const pageOf = (name) => `person?name=${encodeURIComponent(name)}`;
const value = (id) => document.getElementById(id).value.trim();
const acknowledged = () => document.getElementById("acknowledge").checked;

function onSubmit(id, work) {
  const form = document.getElementById(id);
  if (form) form.addEventListener("submit", (event) => {
    event.preventDefault();
    work(form);
  });
}

function photosOf(form) {
  const sent = new FormData();
  for (const file of form.querySelector("input[type=file]").files) sent.append("photo", file);
  return sent;
}

onSubmit("enrol", (form) => {
  const query = new URLSearchParams({ name: value("name"), acknowledge: acknowledged() });
  make("POST", `api/v1/people?${query}`, photosOf(form), pageOf(value("name")));
});
onSubmit("add", (form) => make("POST", `${api(person)}/photos?acknowledge=${acknowledged()}`, photosOf(form), pageOf(person)));
onSubmit("rename", () => make("PUT", api(person), { name: value("to") }, pageOf(value("to"))));
onSubmit("merge", () => make("PUT", api(person), { merge_into: value("into") }, pageOf(value("into"))));
for (const button of document.querySelectorAll(".remove-photo")) {
  button.addEventListener("click", () => make("DELETE", `${api(person)}/photos/${button.dataset.photo}`, undefined, pageOf(person)));
}
if (person) {
  const sure = document.getElementById("sure");
  document.getElementById("remove").addEventListener("click", () => sure.showModal());
  sure.addEventListener("close", () => {
    if (sure.returnValue === "yes") make("DELETE", api(person), undefined, "people");
  });
}

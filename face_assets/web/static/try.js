// The page works without this: it adds dropping a photo, and the camera.
"use strict";
const byId = (id) => document.getElementById(id);
const form = byId("form"), input = byId("photo"), trouble = byId("trouble"), main = byId("main");

function send(file) {
  const files = new DataTransfer();
  files.items.add(file);
  input.files = files.files;
  trouble.textContent = "The photo is being looked at.";
  form.requestSubmit();
}

byId("hint").hidden = false;
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  main.classList.add("drop");
});
document.addEventListener("dragleave", () => main.classList.remove("drop"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  main.classList.remove("drop");
  const file = event.dataTransfer.files[0];
  if (file) send(file);
  else trouble.textContent = "That is no file.";
});

if (navigator.mediaDevices) {
  byId("camera").hidden = false;
  byId("camera").addEventListener("click", async () => {
    try {
      byId("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
      byId("live").hidden = false;
      byId("take").focus();
    } catch (error) {
      trouble.textContent = `The camera cannot be used: ${error.message}`;
    }
  });
  byId("take").addEventListener("click", () => {
    const video = byId("video"), canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    for (const track of video.srcObject.getTracks()) track.stop();
    canvas.toBlob((blob) => send(new File([blob], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.95);
  });
}

const result = byId("result");
if (result) result.focus();

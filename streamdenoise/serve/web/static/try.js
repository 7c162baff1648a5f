// The page that tries a model on one image or short clip.

const form = document.getElementById("trial");
const drop = document.getElementById("drop");
const file = document.getElementById("file");
const chosen = document.getElementById("chosen");
const noise = document.getElementById("noise");
const level = document.getElementById("level");
const doing = document.getElementById("doing");
const refused = document.getElementById("refused");
const results = document.getElementById("results");
const button = form.querySelector("button");
const invitation = chosen.textContent;

file.addEventListener("change", () => {
  chosen.textContent = file.files[0]?.name ?? invitation;
});
for (const type of ["dragenter", "dragover"]) {
  drop.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
for (const type of ["dragleave", "drop"]) {
  drop.addEventListener(type, () => drop.classList.remove("over"));
}
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  if (file.disabled || file.matches(":disabled") || !event.dataTransfer.files.length) return;
  file.files = event.dataTransfer.files;
  file.dispatchEvent(new Event("change"));
});
noise.addEventListener("change", chooseNoise);
document.getElementById("strength").addEventListener("input", (event) => {
  document.getElementById("strength-shown").textContent = event.target.value;
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
chooseNoise();

function chooseNoise() {
  const kind = noise.selectedOptions[0];
  const isAdded = noise.value !== "none";
  document.getElementById("level-line").hidden = !isAdded;
  level.disabled = !isAdded;
  if (!isAdded) return;
  document.getElementById("unit").textContent = kind.dataset.unit;
  level.value = kind.dataset.level;
  level.max = kind.dataset.most;
}

function send() {
  // fetch() says nothing about the progress of an upload.
  const request = new XMLHttpRequest();
  request.open("POST", "/api/try");
  const token = document.querySelector('meta[name="csrf-token"]')?.content;
  if (token) request.setRequestHeader("X-CSRF-Token", token);
  request.upload.addEventListener("progress", (event) => {
    if (event.lengthComputable) progress("Uploading", event.loaded / event.total);
  });
  request.upload.addEventListener("load", () => progress("Denoising; a clip may take a minute"));
  request.addEventListener("load", () => answered(request));
  request.addEventListener("error", () => end("The service does not answer, or took no more of the file."));
  request.addEventListener("abort", () => end(""));
  refused.hidden = true;
  results.hidden = true;
  button.disabled = true;
  progress("Uploading", 0);
  request.send(new FormData(form));
}

function answered(request) {
  let answer = null;
  try {
    answer = JSON.parse(request.responseText);
  } catch {
    // Something between here and the service answers in its place.
  }
  if (request.status !== 200) {
    end(typeof answer?.detail === "string" ? answer.detail : `Error ${request.status}`);
    return;
  }
  end("");
  showResults(answer);
}

function progress(text, share = null) {
  doing.hidden = false;
  doing.querySelector("span").textContent = text;
  const bar = doing.querySelector("progress");
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
}

function end(why) {
  doing.hidden = true;
  button.disabled = false;
  refused.textContent = why;
  refused.hidden = !why;
}

function showResults(answer) {
  const parts = [answer.name, `${answer.width} × ${answer.height}`, answer.model, `${answer.seconds.toFixed(1)} s`];
  if (answer.duration_s) parts.splice(2, 0, `${answer.frames} frames, ${answer.duration_s.toFixed(1)} s`);
  document.getElementById("about").textContent = parts.join(" · ");
  for (const element of results.querySelectorAll("[data-file]")) {
    const address = answer.files[element.dataset.file];
    if (element.tagName === "IMG") element.src = address;
    else element.href = address;
  }
  const clip = document.getElementById("clip");
  const address = answer.files["grid.mp4"];
  clip.hidden = !address;
  const video = clip.querySelector("video");
  if (address) {
    video.src = address;
    clip.querySelector("a").href = address;
  } else {
    video.removeAttribute("src");
  }
  document.getElementById("scores").hidden = !answer.scores;
  document.getElementById("unscored").hidden = Boolean(answer.scores);
  for (const row of answer.scores ? document.querySelectorAll("[data-side]") : []) {
    const score = answer.scores[row.dataset.side];
    const [mse, psnr, ssim] = row.querySelectorAll("td");
    mse.textContent = Number(score.mse).toPrecision(4);
    psnr.textContent = score.psnr_db === "inf" ? "∞" : `${score.psnr_db.toFixed(2)} dB`;
    ssim.textContent = score.ssim === null ? "–" : score.ssim.toFixed(4);
  }
  const lines = answer.notes.map((note) => {
    const line = document.createElement("li");
    line.textContent = note;
    return line;
  });
  document.getElementById("notes").replaceChildren(...lines);
  results.hidden = false;
  results.scrollIntoView({ behavior: "smooth", block: "start" });
}

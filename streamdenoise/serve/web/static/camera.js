// The page of one camera.

import { api, cameraPath, every, show, write } from "./api.js";
import { Compare } from "./compare.js";
import { showEvents } from "./events.js";
import { LiveVideo, isSupported } from "./live.js";
import { Plot } from "./plot.js";
import { Recordings } from "./recordings.js";
import { Settings } from "./settings.js";
import { awayWord, figures, statusWord } from "./words.js";

const get = (id) => document.getElementById(id);
const name = get("camera").dataset.name;
const path = (rest = "") => cameraPath(name, rest);

// Live video

const video = get("video");
const canvas = get("canvas");
const still = get("still");
const comparing = get("comparing");
const compare = new Compare(video, canvas, get("slider"), get("border"));
let playsVideo = isSupported;
const live = isSupported ? new LiveVideo(video, offerSound, playStills) : null;

function offerSound(mime) {
  get("sound").hidden = !/mp4a|opus|flac/i.test(mime);
}

/** Show frames as JPEGs, where the browser cannot play the video. */
function playStills() {
  playsVideo = false;
  watch();
}

function watch() {
  const side = comparing.checked ? "split" : "after";
  const isMoving = comparing.checked && playsVideo;
  get("compare").hidden = canvas.hidden = !isMoving;
  video.hidden = isMoving || !playsVideo;
  still.hidden = playsVideo;
  get("sound").hidden = true;
  if (isMoving) compare.start();
  else compare.stop();
  if (playsVideo) live.open(path(`/video?side=${side}`));
  else still.src = path(`/stream.mjpeg?side=${side}`);
}

comparing.addEventListener("change", watch);
get("sound").addEventListener("click", ({ target }) => {
  video.muted = !video.muted;
  target.setAttribute("aria-pressed", String(!video.muted));
  target.textContent = video.muted ? "Sound on" : "Sound off";
});
const stage = get("stage");
get("whole").hidden = !stage.requestFullscreen;
get("whole").addEventListener("click", () => stage.requestFullscreen());
// The stage has the shape of the frames before they arrive, so that nothing jumps.
function shape(camera) {
  const ratio = camera.width && camera.height ? camera.width / camera.height : 16 / 9;
  stage.style.setProperty("--ratio", ratio.toFixed(4));
}
watch();

// State, figures and settings

const settings = new Settings(get("settings"), path());
let wasRecording = false;
const refreshState = every(1, async () => {
  const camera = await api(path());
  write(get("status"), statusWord(camera.status));
  write(get("reason"), camera.reason);
  write(get("away"), awayWord(camera.status));
  get("camera").dataset.status = camera.status;
  shape(camera);
  settings.update(camera);
  if (wasRecording && !camera.recording) refreshRecordings();
  wasRecording = camera.recording;
  showFigures(figures(camera));
});
settings.onChange = refreshState;

function showFigures(pairs) {
  const list = get("figures");
  while (list.children.length > pairs.length) list.lastElementChild.remove();
  pairs.forEach(([term, text], index) => {
    if (!list.children[index]) {
      const pair = document.createElement("div");
      pair.append(document.createElement("dt"), document.createElement("dd"));
      list.append(pair);
    }
    write(list.children[index].children[0], term);
    write(list.children[index].children[1], text);
  });
}

// Plots

const plots = [
  new Plot("Rate", "fps", (value) => `${value.toFixed(1)} fps`),
  new Plot("Latency", "latency_ms", (value) => `${value.toFixed(0)} ms`),
  new Plot("Noise level", "sigma", (value) => value.toFixed(1)),
  new Plot("Estimated gain", "psnr_gain_db", (value) => `${value.toFixed(1)} dB`),
];
get("plots").append(...plots.map((plot) => plot.element));
const KEPT_S = 3600;
let points = [];
every(5, async () => {
  const since = points.length ? points[points.length - 1].time : 0;
  points.push(...(await api(path(`/history?since=${since}`))));
  const newest = points.length ? points[points.length - 1].time : Date.now() / 1000;
  points = points.filter((point) => point.time > newest - KEPT_S);
  for (const plot of plots) plot.update(points, newest);
});

// Recordings and events

const recordings = new Recordings(name);
const refreshRecordings = every(10, () => recordings.refresh());
every(3, async () => showEvents(get("events"), await api(path("/events"))));

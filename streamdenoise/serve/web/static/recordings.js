// The recordings of a camera.

import { api, cameraPath } from "./api.js";
import { bytes, moment } from "./words.js";

export class Recordings {
  #name;
  #list = document.getElementById("recordings");
  #none = document.getElementById("no-recordings");
  #player = document.getElementById("player");
  #shown = "";

  constructor(name) {
    this.#name = name;
    const video = this.#player.querySelector("video");
    this.#player.addEventListener("close", () => {
      video.removeAttribute("src");
      video.load();
    });
  }

  async refresh() {
    const found = await api(cameraPath(this.#name, "/recordings"));
    const text = JSON.stringify(found);
    if (text === this.#shown) return;
    this.#shown = text;
    this.#list.replaceChildren(...found.map((each) => this.#row(each)));
    this.#none.hidden = found.length > 0;
  }

  #row(recording) {
    const row = document.createElement("li");
    const time = document.createElement("time");
    time.dateTime = new Date(recording.time * 1000).toISOString();
    time.textContent = moment(recording.time);
    const size = document.createElement("span");
    size.textContent = bytes(recording.size_bytes);
    size.className = "size";
    const path = cameraPath(this.#name, `/recordings/${recording.id.split("/").map(encodeURIComponent).join("/")}`);
    const download = document.createElement("a");
    download.className = "button";
    download.href = `${path}?download=true`;
    download.textContent = "Download";
    const actions = document.createElement("span");
    actions.className = "actions";
    if (recording.playable) actions.append(button("Play", () => this.#play(path)));
    actions.append(download);
    if (document.querySelector('meta[name="rights"]').content === "control") {
      actions.append(button("Delete", () => this.#delete(path, recording), "danger"));
    }
    row.append(time, size, actions);
    return row;
  }

  #play(path) {
    const video = this.#player.querySelector("video");
    video.src = path;
    this.#player.showModal();
    video.play().catch(() => {});
  }

  async #delete(path, recording) {
    if (!confirm(`Delete the recording of ${moment(recording.time)}? This cannot be undone.`)) return;
    try {
      await api(path, "DELETE");
    } catch (error) {
      alert(error.message);
    }
    await this.refresh();
  }
}

function button(text, action, kind = "") {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = text;
  element.className = kind;
  element.addEventListener("click", action);
  return element;
}

// The grid of cameras.

import { api, cameraPath, every, write } from "./api.js";
import { showEvents } from "./events.js";
import { awayWord, latency, noise, rate, saved, statusWord } from "./words.js";

const THUMBNAIL_MS = 1000;
const THUMBNAIL_WIDTH = 480;

const grid = document.getElementById("cameras");
const none = document.getElementById("none");
const template = document.getElementById("card");
const cards = new Map();

/** A camera in the grid; its thumbnail is refreshed only while it can be seen. */
class Card {
  constructor(name) {
    this.name = name;
    this.element = template.content.firstElementChild.cloneNode(true);
    this.element.href = `/cameras/${encodeURIComponent(name)}`;
    this.image = this.element.querySelector("img");
    this.isSeen = false;
    this.isLoading = false;
    this.isLive = false;
    this.observer = new IntersectionObserver((entries) => {
      this.isSeen = entries[entries.length - 1].isIntersecting;
      this.refresh();
    });
    this.observer.observe(this.element);
    this.timer = setInterval(() => this.refresh(), THUMBNAIL_MS);
  }

  update(camera) {
    const find = (selector) => this.element.querySelector(selector);
    write(find(".title"), camera.title);
    write(find(".status"), statusWord(camera.status));
    write(find(".away"), awayWord(camera.status));
    write(find(".reason"), camera.reason);
    this.element.dataset.status = camera.status;
    this.image.alt = `Live frame of ${camera.title}`;
    const values = { fps: rate(camera), latency: latency(camera), noise: noise(camera), saved: saved(camera) };
    for (const [key, text] of Object.entries(values)) write(find(`[data-figure="${key}"]`), text);
    const wasLive = this.isLive;
    this.isLive = camera.status === "live";
    if (this.isLive && !wasLive) this.refresh();
  }

  async refresh() {
    if (!this.isSeen || !this.isLive || this.isLoading || document.hidden) return;
    this.isLoading = true;
    try {
      const path = cameraPath(this.name, `/frame.jpg?width=${THUMBNAIL_WIDTH}`);
      const response = await fetch(path);
      if (!response.ok) return;
      const address = URL.createObjectURL(await response.blob());
      const old = this.image.src;
      this.image.src = address;
      await this.image.decode().catch(() => {});
      this.image.hidden = false;
      if (old) URL.revokeObjectURL(old);
    } catch {
      // The states say it; they are asked for at the same time.
    } finally {
      this.isLoading = false;
    }
  }

  remove() {
    clearInterval(this.timer);
    this.observer.disconnect();
    this.element.remove();
  }
}

every(1, async () => {
  const cameras = await api("/api/cameras");
  const names = new Set(cameras.map((camera) => camera.name));
  for (const [name, card] of cards) {
    if (!names.has(name)) {
      card.remove();
      cards.delete(name);
    }
  }
  cameras.forEach((camera, index) => {
    let card = cards.get(camera.name);
    if (!card) {
      card = new Card(camera.name);
      cards.set(camera.name, card);
    }
    card.title = camera.title;
    card.update(camera);
    if (grid.children[index] !== card.element) grid.insertBefore(card.element, grid.children[index] ?? null);
  });
  grid.removeAttribute("aria-busy");
  none.hidden = cameras.length > 0;
});

every(3, async () => {
  const titles = Object.fromEntries([...cards].map(([name, card]) => [name, card.title]));
  showEvents(document.getElementById("events"), await api("/api/events"), titles);
});

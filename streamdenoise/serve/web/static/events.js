// The list of events.

import { moment } from "./words.js";

const MAX_SHOWN = 100;

/** Show events, newest first; `titles` maps names of cameras to their titles. */
export function showEvents(list, events, titles = {}) {
  const newest = JSON.stringify([events.slice(0, MAX_SHOWN), titles]);
  if (list.dataset.shown === newest) return;
  list.dataset.shown = newest;
  list.replaceChildren(...events.slice(0, MAX_SHOWN).map((event) => row(event, titles)));
  if (!events.length) list.append(item("Nothing has happened yet.", "hint"));
}

function row(event, titles) {
  const line = item("", `event ${event.kind}`);
  const time = document.createElement("time");
  time.dateTime = new Date(event.time * 1000).toISOString();
  time.textContent = moment(event.time);
  const text = document.createElement("span");
  const title = titles[event.camera];
  text.textContent = title ? `${title}: ${event.text}` : event.text;
  line.append(time, text);
  return line;
}

function item(text, kind) {
  const line = document.createElement("li");
  line.className = kind;
  line.textContent = text;
  return line;
}

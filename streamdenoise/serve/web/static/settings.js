// The settings of a camera: what people change is sent at once.

import { api, show } from "./api.js";

const SIGMA_AT_FIRST = 10;
/** So long a change is shown before the camera has confirmed it. */
const PATIENCE_MS = 5000;

export class Settings {
  onChange = () => {};
  #form;
  #path;
  #sent = new Map();

  constructor(form, path) {
    this.#form = form;
    this.#path = path;
    const { enabled, recording, strength, sigma, model } = form.elements;
    const kind = form.elements["sigma-kind"];
    const on = (element, event, action) => element.addEventListener(event, action);
    on(form, "submit", (event) => event.preventDefault());
    on(enabled, "change", () => this.#send({ enabled: enabled.checked }));
    on(recording, "change", () => this.#send({ recording: recording.checked }));
    on(strength, "input", () => this.#showStrength());
    on(strength, "change", () => this.#send({ strength: Number(strength.value) }));
    on(model, "change", () => this.#send({ model: model.value }));
    on(kind, "change", () => {
      sigma.disabled = kind.value === "auto";
      if (kind.value === "auto") this.#send({ sigma: "auto" });
      else {
        sigma.value ||= SIGMA_AT_FIRST;
        this.#send({ sigma: sigma.value });
      }
    });
    on(sigma, "change", () => {
      if (sigma.reportValidity() && sigma.value) this.#send({ sigma: sigma.value });
    });
  }

  /** Show the settings that are in force, except where somebody is at work. */
  update(camera) {
    const inForce = { ...camera, enabled: camera.status !== "off" };
    for (const [key, { value, until }] of this.#sent) {
      if (inForce[key] === value || Date.now() > until) this.#sent.delete(key);
      else inForce[key] = value;
    }
    camera = inForce;
    const { enabled, recording, strength, sigma, model } = this.#form.elements;
    const kind = this.#form.elements["sigma-kind"];
    const set = (element, key, value) => {
      if (element !== document.activeElement || element.type === "checkbox") element[key] = value;
    };
    set(enabled, "checked", camera.enabled);
    set(recording, "checked", camera.recording);
    set(strength, "value", camera.strength);
    if (![kind, sigma].includes(document.activeElement)) {
      kind.value = camera.sigma === "auto" ? "auto" : "level";
      sigma.value = camera.sigma === "auto" ? "" : camera.sigma;
      sigma.disabled = kind.value === "auto";
      sigma.placeholder = camera.sigma_now === null ? "" : camera.sigma_now.toFixed(1);
    }
    if (![...model.options].some((option) => option.value === camera.model)) {
      model.add(new Option(camera.model));
    }
    set(model, "value", camera.model);
    this.#showStrength();
  }

  #showStrength() {
    const strength = Number(this.#form.elements.strength.value);
    document.getElementById("strength-shown").value = strength ? strength.toFixed(2) : "0 (unchanged)";
  }

  async #send(change) {
    const refused = document.getElementById("refused");
    const until = Date.now() + PATIENCE_MS;
    for (const [key, value] of Object.entries(change)) this.#sent.set(key, { value, until });
    try {
      await api(this.#path, "PATCH", change);
      show(refused, "");
    } catch (error) {
      this.#sent.clear();
      show(refused, error.message);
    }
    this.onChange();
  }
}

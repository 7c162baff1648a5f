// Before and after on the moving video, with a border that can be moved.
//
// The video holds both frames side by side; a canvas shows the left part of one and the
// right part of the other.

const STEPS = 1000;

export class Compare {
  #video;
  #canvas;
  #slider;
  #border;
  #isOn = false;
  #context;

  constructor(video, canvas, slider, border) {
    this.#video = video;
    this.#canvas = canvas;
    this.#slider = slider;
    this.#border = border;
    this.#context = canvas.getContext("2d", { alpha: false });
    slider.addEventListener("input", () => this.#draw());
    // The whole surface of the frame moves the border, not only the knob.
    const stage = slider.parentElement;
    const move = (event) => {
      const box = stage.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      slider.value = Math.round(Math.min(1, Math.max(0, share)) * STEPS);
      this.#draw();
    };
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      stage.setPointerCapture(event.pointerId);
      slider.focus({ preventScroll: true });
      event.preventDefault();
      move(event);
    });
    stage.addEventListener("pointermove", (event) => {
      if (stage.hasPointerCapture(event.pointerId)) move(event);
    });
    this.#place();
  }

  start() {
    if (this.#isOn) return;
    this.#isOn = true;
    this.#next();
  }

  stop() {
    this.#isOn = false;
  }

  #next() {
    if (!this.#isOn) return;
    const step = () => {
      this.#draw();
      this.#next();
    };
    if (this.#video.requestVideoFrameCallback) this.#video.requestVideoFrameCallback(step);
    else requestAnimationFrame(step);
  }

  #place() {
    const percent = (100 * this.#slider.value) / STEPS;
    this.#border.style.left = `${percent}%`;
    this.#slider.setAttribute("aria-valuetext", `${Math.round(percent)} % before`);
  }

  #draw() {
    this.#place();
    const video = this.#video;
    const width = Math.floor(video.videoWidth / 2);
    const height = video.videoHeight;
    if (!this.#isOn || !width || video.readyState < 2) return;
    const canvas = this.#canvas;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const at = Math.round((width * this.#slider.value) / STEPS);
    if (at > 0) this.#context.drawImage(video, 0, 0, at, height, 0, 0, at, height);
    if (at < width) {
      this.#context.drawImage(video, width + at, 0, width - at, height, at, 0, width - at, height);
    }
  }
}

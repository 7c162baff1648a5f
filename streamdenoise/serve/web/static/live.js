// Live video: fragments from a WebSocket into Media Source, close to the present.

const Source = window.ManagedMediaSource ?? window.MediaSource;
/** Farther behind than this, the video jumps to the newest frames. */
const MAX_LAG_S = 1.5;
/** From here on it plays a little faster. */
const LAG_S = 0.6;
const CATCH_UP_RATE = 1.1;
/** Where it jumps to: so far before the end of what has arrived. */
const MARGIN_S = 0.2;
const KEPT_S = 8;
const MAX_WAITING_BYTES = 24e6;
const RETRY_MS = [500, 1000, 2000, 4000];
const LOGGED_OUT = 4001;

/** Whether this browser can play live video at all. */
export const isSupported = Source !== undefined;

export class LiveVideo {
  #video;
  #address = "";
  #socket = null;
  #source = null;
  #buffer = null;
  #waiting = [];
  #waitingBytes = 0;
  #tries = 0;
  #timer = 0;
  #onType;
  #onUnsupported;

  /**
   * `onType` gets the type of each stream that begins; `onUnsupported` is called if the
   * browser cannot play it.
   */
  constructor(video, onType, onUnsupported) {
    this.#video = video;
    this.#onType = onType;
    this.#onUnsupported = onUnsupported;
    video.disableRemotePlayback = true; // ManagedMediaSource asks for it
    document.addEventListener("visibilitychange", () => this.#connect());
  }

  /** Play from this path of the service until `close`. */
  open(path) {
    const address = new URL(path, location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    this.#address = address.href;
    this.#tries = 0;
    this.#connect();
  }

  close() {
    this.#address = "";
    this.#connect();
  }

  #connect() {
    clearTimeout(this.#timer);
    if (this.#socket) {
      this.#socket.onclose = this.#socket.onmessage = null;
      this.#socket.close();
      this.#socket = null;
    }
    this.#forget();
    // What nobody sees is not encoded.
    if (!this.#address || document.hidden) return;
    const socket = new WebSocket(this.#address);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      this.#tries = 0;
      if (typeof data === "string") this.#begin(data);
      else this.#append(data);
    };
    socket.onclose = ({ code }) => {
      this.#socket = null;
      if (code === LOGGED_OUT) {
        location.reload();
        return;
      }
      const wait = RETRY_MS[Math.min(this.#tries, RETRY_MS.length - 1)];
      this.#tries += 1;
      this.#timer = setTimeout(() => this.#connect(), wait);
    };
  }

  #forget() {
    this.#source = this.#buffer = null;
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  /** Another stream begins. */
  #begin(mime) {
    this.#forget();
    if (!Source.isTypeSupported(mime)) {
      this.close();
      this.#onUnsupported();
      return;
    }
    this.#onType(mime);
    const source = new Source();
    this.#source = source;
    const address = URL.createObjectURL(source);
    source.addEventListener(
      "sourceopen",
      () => {
        URL.revokeObjectURL(address);
        if (source !== this.#source) return;
        this.#buffer = source.addSourceBuffer(mime);
        this.#buffer.addEventListener("updateend", () => {
          if (source !== this.#source) return;
          this.#keepUp();
          this.#pump();
        });
        this.#pump();
      },
      { once: true },
    );
    this.#video.src = address;
    // Refused only if sound is on and nobody has clicked yet.
    this.#video.play().catch(() => {});
  }

  #append(data) {
    this.#waiting.push(data);
    this.#waitingBytes += data.byteLength;
    if (this.#waitingBytes > MAX_WAITING_BYTES) this.#connect();
    else this.#pump();
  }

  #pump() {
    const buffer = this.#buffer;
    if (!buffer || buffer.updating || this.#source.readyState !== "open") return;
    try {
      const begin = buffer.buffered.length ? buffer.buffered.start(0) : Infinity;
      if (this.#video.currentTime - begin > 2 * KEPT_S) {
        buffer.remove(0, this.#video.currentTime - KEPT_S);
        return;
      }
      const data = this.#waiting.shift();
      if (data === undefined) return;
      this.#waitingBytes -= data.byteLength;
      buffer.appendBuffer(data);
    } catch {
      // The buffer is full, or the decoder has given up: start anew.
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#connect(), RETRY_MS[1]);
      this.#forget();
    }
  }

  #keepUp() {
    const video = this.#video;
    const { buffered } = this.#buffer;
    if (!buffered.length) return;
    const last = buffered.length - 1;
    const end = buffered.end(last);
    const lag = end - video.currentTime;
    if (lag > MAX_LAG_S || video.currentTime < buffered.start(last)) {
      video.currentTime = Math.max(buffered.start(last), end - MARGIN_S);
      video.playbackRate = 1;
    } else {
      video.playbackRate = lag > LAG_S ? CATCH_UP_RATE : 1;
    }
    if (video.paused) video.play().catch(() => {});
  }
}

// Figures and states in words.

const STATUS = {
  starting: "Starting",
  live: "Live",
  lost: "Lost",
  failed: "Failed",
  off: "Off",
};

const AWAY = {
  starting: "Starting",
  lost: "No video. Trying again.",
  failed: "No video",
  off: "Switched off",
};

export function statusWord(status) {
  return STATUS[status] ?? status;
}

/** What stands where the video would be. */
export function awayWord(status) {
  return AWAY[status] ?? "";
}

/** The output of a camera that is only watched. */
const NOWHERE = "null:";

/** Figures of a camera as [name, text] for its page. */
export function figures(camera) {
  const unknown = "–";
  const isLive = camera.status === "live";
  const size = camera.width ? `${camera.width} × ${camera.height}` : unknown;
  return [
    ["Rate", rate(camera)],
    ["Latency", latency(camera)],
    ["99 of 100 frames within", isLive ? milliseconds(camera.latency_p99_ms) : unknown],
    ["Noise", noise(camera)],
    ["Estimated gain", isLive && camera.psnr_gain_db !== null ? `${signed(camera.psnr_gain_db)} dB` : unknown],
    ["Bit rate saved", saved(camera)],
    ["Size", size],
    ["Model", camera.used_model || unknown],
    ["Reduced to keep up", camera.load_step || "no"],
    ["Frames dropped", `${camera.dropped.toLocaleString()} of ${camera.frames_in.toLocaleString()}`],
    ["Reconnected", times(camera.reconnects)],
    ["Source", camera.source],
    ...camera.outputs.filter(({ name }) => name !== NOWHERE).map((output) => ["Output", output.error ? `${output.name}: ${output.error}` : output.name]),
  ];
}

export function rate(camera) {
  if (camera.status !== "live") return "–";
  return `${camera.fps_out.toFixed(camera.fps_out < 10 ? 1 : 0)} fps`;
}

export function latency(camera) {
  return camera.status === "live" ? milliseconds(camera.latency_ms) : "–";
}

export function noise(camera) {
  return (camera.status === "live" && camera.noise) || "–";
}

export function saved(camera) {
  return camera.status !== "live" || camera.saved_share === null ? "–" : `${Math.round(camera.saved_share * 100)} %`;
}

export function bytes(size) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let step = 0;
  while (size >= 1000 && step < units.length - 1) {
    size /= 1000;
    step += 1;
  }
  return `${size.toFixed(step && size < 10 ? 1 : 0)} ${units[step]}`;
}

/** A time as people write it; without the date if it is today. */
export function moment(seconds) {
  const date = new Date(seconds * 1000);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? date.toLocaleTimeString() : date.toLocaleString();
}

function milliseconds(value) {
  if (value === null) return "–";
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)}`;
}

function times(count) {
  return count === 1 ? "once" : count ? `${count} times` : "never";
}

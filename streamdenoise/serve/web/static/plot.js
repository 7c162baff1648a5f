// Small plots of the last hour.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 80;
const SPAN_S = 3600;
/** The least that is shown of it, while the service is young. */
const LEAST_SPAN_S = 300;
/** A line ends where nothing was measured for so long. */
const GAP_S = 60;

/** A plot of one figure; `write` makes a text of a value. */
export class Plot {
  constructor(title, key, write) {
    this.key = key;
    this.write = write;
    this.element = document.createElement("figure");
    this.element.className = "plot";
    this.caption = document.createElement("figcaption");
    this.now = document.createElement("strong");
    this.caption.append(title, this.now);
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("role", "img");
    this.line = document.createElementNS(SVG, "path");
    this.svg.append(this.line);
    this.range = document.createElement("span");
    this.range.className = "range";
    this.element.append(this.caption, this.svg, this.range);
  }

  /** Show points, oldest first, up to the present in seconds. */
  update(points, present) {
    const oldest = Math.min(points[0]?.time ?? present, present - LEAST_SPAN_S);
    const begin = Math.max(oldest, present - SPAN_S);
    const known = points.filter((point) => point[this.key] !== null && point.time >= begin);
    if (!known.length) {
      this.line.setAttribute("d", "");
      this.now.textContent = "–";
      this.range.textContent = "no figures yet";
      return;
    }
    const values = known.map((point) => point[this.key]);
    const least = Math.min(...values);
    const most = Math.max(...values);
    // From zero, so that small changes look small; lower only if values are.
    const bottom = Math.min(0, least);
    const top = Math.max(most, bottom + 1e-6) * 1.1;
    let path = "";
    let previous = -Infinity;
    for (const point of known) {
      const x = ((point.time - begin) / (present - begin)) * WIDTH;
      const y = HEIGHT - ((point[this.key] - bottom) / (top - bottom)) * HEIGHT;
      path += `${point.time - previous > GAP_S ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
      previous = point.time;
    }
    this.line.setAttribute("d", path);
    const range = `${this.write(least)} to ${this.write(most)}`;
    this.now.textContent = this.write(values[values.length - 1]);
    this.range.textContent = range;
    this.svg.setAttribute("aria-label", `${this.caption.firstChild.textContent}: ${range} in the last hour`);
  }
}

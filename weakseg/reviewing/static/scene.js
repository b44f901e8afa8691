/** Everything that is drawn on the canvas, from the photo at the bottom to the crosshair on top. */
import { STROKES, boxesOf, cornersOf, ordered } from "./evidence.js";

const CRISP = 2; // device pixels per pixel of a picture from which on single pixels can be seen
const HALO = "rgb(0 0 0 / .55)";
const HELD = "#ffb020"; // not saved, and waiting for the person
const LABEL_FONT = "600 12px system-ui, sans-serif";

export class Scene {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{store, viewport, layers, saves, unseen: () => object[]}} parts `unseen`: events that are saved, but not in the picture of the
   *   marks yet
   */
  constructor(canvas, parts) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.parts = parts;
    this.ratio = 1;
    this.evidence = new OffscreenCanvas(1, 1);
    this.frame = 0;
  }

  /** Draw soon, once however often it is asked for. */
  request() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  /** @param {number} width @param {number} height in device pixels @param {number} ratio of them per CSS pixel */
  resize(width, height, ratio) {
    this.canvas.width = width;
    this.canvas.height = height;
    this.evidence = new OffscreenCanvas(width, height);
    this.ratio = ratio;
    this.draw(); // at once: an emptied canvas would flash
  }

  draw() {
    const { store } = this.parts;
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    this.image = store.get("image");
    if (!this.image) return;
    const shown = store.get("layers");
    if (shown.photo) this.#picture(context, this.#of("photo"));
    else this.#sheet();
    if (shown.difference) this.#labels(null, this.parts.layers.difference, 1);
    else this.#labelLayers(shown);
    if (shown.evidence) this.#evidence();
    this.#draft();
    this.#pointer();
  }

  #of(kind) {
    return this.parts.layers.get(kind)?.bitmap ?? null;
  }

  /** Positions of the image from here on. */
  #inImage(context) {
    const { scale, left, top } = this.parts.viewport;
    const r = this.ratio;
    context.setTransform(scale * r, 0, 0, scale * r, left * r, top * r);
  }

  /** A picture over the whole image, whatever its own resolution is. */
  #picture(context, picture) {
    if (!picture) return;
    this.#inImage(context);
    const { width, height } = this.image;
    const size = (this.parts.viewport.scale * this.ratio * width) / picture.width;
    context.imageSmoothingEnabled = size < CRISP;
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, 0, 0, width, height);
  }

  #sheet() {
    this.#inImage(this.context);
    this.context.fillStyle = "#8884";
    this.context.fillRect(0, 0, this.image.width, this.image.height);
  }

  #labelLayers(shown) {
    const opacity = this.parts.store.get("opacity");
    for (const kind of ["prediction", "truth", "target"]) {
      if (shown[kind]) this.#labels(this.parts.layers.get(kind), this.#of(kind), opacity);
    }
  }

  /** Labels as areas or as outlines. */
  #labels(labels, picture, opacity) {
    if (!picture) return;
    if (labels && this.parts.store.get("outline")) return this.#outlines(labels);
    this.context.globalAlpha = opacity;
    this.#picture(this.context, picture);
    this.context.globalAlpha = 1;
  }

  #outlines(labels) {
    const { context } = this;
    this.#inImage(context);
    context.scale(this.image.width / labels.width, this.image.height / labels.height);
    const pixel = labels.width / this.image.width / this.parts.viewport.scale; // one CSS pixel
    context.lineCap = "square";
    for (const [colour, path] of labels.outlines) {
      for (const [style, width] of [
        [HALO, 3.5],
        [colour, 2],
      ]) {
        context.strokeStyle = style;
        context.lineWidth = width * pixel;
        context.stroke(path);
      }
    }
  }

  // evidence ---------------------------------------------------------------------------------------

  #evidence() {
    const saves = this.parts.saves.pending(this.image.number);
    this.#marks(saves);
    const boxes = boxesOf(this.image, saves);
    const chosen = this.parts.store.get("chosen");
    const moved = this.parts.store.get("draft")?.replaces;
    boxes.forEach((box, place) => {
      const isMoved =
        moved && moved.class === box.class && String(moved.points) === String(box.points);
      if (!isMoved) this.#box(box, place === chosen);
    });
  }

  /** Marks, with the strokes that they do not show yet: together first, as an eraser takes both away. */
  #marks(saves) {
    const into = this.evidence.getContext("2d");
    into.setTransform(1, 0, 0, 1, 0, 0);
    into.clearRect(0, 0, this.evidence.width, this.evidence.height);
    this.#picture(into, this.#of("marks"));
    const events = [...this.parts.unseen().map((event) => ({ event })), ...saves];
    for (const { event, state } of events) {
      if (STROKES.has(event.action)) this.#stroke(into, event, state === "held");
    }
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.globalAlpha = 0.85;
    this.context.drawImage(this.evidence, 0, 0);
    this.context.globalAlpha = 1;
  }

  #stroke(into, event, held = false) {
    this.#inImage(into);
    const colour = this.#colour(event.class);
    into.globalCompositeOperation = event.action === "erase" ? "destination-out" : "source-over";
    const path = pathOf(event);
    into.lineCap = into.lineJoin = "round";
    into.lineWidth = Math.max(1, event.width || 0);
    into.strokeStyle = into.fillStyle = event.action === "erase" ? "#000" : colour;
    if (event.action === "fill") into.fill(path);
    else into.stroke(path);
    into.globalCompositeOperation = "source-over";
    if (!held) return;
    into.setLineDash([6 / this.parts.viewport.scale, 4 / this.parts.viewport.scale]);
    into.lineWidth = 2 / this.parts.viewport.scale;
    into.strokeStyle = HELD;
    into.stroke(path);
    into.setLineDash([]);
  }

  #box(box, chosen) {
    const [first, second] = box.points.map((point) => this.#onScreen(point));
    const { context } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    const r = this.ratio;
    context.lineJoin = "miter";
    for (const [style, width] of [
      [HALO, 4],
      [this.#colour(box.class), chosen ? 3 : 2],
    ]) {
      context.strokeStyle = style;
      context.lineWidth = width * r;
      context.strokeRect(first[0], first[1], second[0] - first[0], second[1] - first[1]);
    }
    if (box.state === "held") this.#dashed(first, second);
    this.#name(box, first);
    if (chosen) for (const corner of cornersOf([first, second])) this.#handle(corner, box);
  }

  #dashed(first, second) {
    const { context } = this;
    context.setLineDash([6 * this.ratio, 4 * this.ratio]);
    context.strokeStyle = HELD;
    context.strokeRect(first[0], first[1], second[0] - first[0], second[1] - first[1]);
    context.setLineDash([]);
  }

  #name(box, [x, y]) {
    const { context } = this;
    const r = this.ratio;
    context.setTransform(r, 0, 0, r, x, y < 18 * r ? y + 18 * r : y);
    context.font = LABEL_FONT;
    const text = box.class.length > 28 ? `${box.class.slice(0, 27)}…` : box.class;
    const colour = this.#colour(box.class);
    context.fillStyle = colour;
    context.fillRect(-1, -18, context.measureText(text).width + 10, 18);
    context.fillStyle = isLight(colour) ? "#111" : "#fff";
    context.fillText(text, 4, -5);
  }

  #handle([x, y], box) {
    const { context } = this;
    context.setTransform(this.ratio, 0, 0, this.ratio, x, y);
    context.fillStyle = "#fff";
    context.strokeStyle = this.#colour(box.class);
    context.lineWidth = 2;
    context.fillRect(-4, -4, 8, 8);
    context.strokeRect(-4, -4, 8, 8);
  }

  // what is under the hand ----------------------------------------------------------------------------

  #draft() {
    const draft = this.parts.store.get("draft");
    if (!draft) return;
    if (draft.action === "add_box") {
      if (draft.points.length < 2) return;
      this.#box({ class: draft.class, points: ordered(draft.points), state: "draft" }, false);
    } else if (draft.action === "fill") this.#outlineDraft(draft);
    else if (draft.action === "erase") this.#erasing(draft);
    else this.#stroke(this.context, draft);
  }

  #outlineDraft(draft) {
    const { context } = this;
    const path = pathOf(draft);
    this.#inImage(context);
    context.globalAlpha = 0.45;
    context.fillStyle = this.#colour(draft.class);
    context.fill(path);
    context.globalAlpha = 1;
    for (const [style, width] of [
      [HALO, 3.5],
      [this.#colour(draft.class), 2],
    ]) {
      context.strokeStyle = style;
      context.lineWidth = width / this.parts.viewport.scale;
      context.stroke(path);
    }
  }

  #erasing(draft) {
    const { context } = this;
    this.#inImage(context);
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = draft.width;
    context.strokeStyle = "rgb(255 255 255 / .6)";
    context.stroke(pathOf(draft));
  }

  /** The ring of the brush, and the crosshair of the keyboard. */
  #pointer() {
    const { store } = this.parts;
    const crosshair = store.get("crosshair");
    const at = crosshair ?? store.get("pointer");
    if (!at || store.get("tool") === "look") return;
    const { context } = this;
    const [x, y] = this.#onScreen(at);
    context.setTransform(this.ratio, 0, 0, this.ratio, x, y);
    const radius = store.get("ring")
      ? Math.max(1.5, (store.get("width") / 2) * this.parts.viewport.scale)
      : 0;
    const path = new Path2D();
    if (radius) path.arc(0, 0, radius, 0, 2 * Math.PI);
    if (crosshair)
      for (const [dx, dy] of [
        [1, 0],
        [-1, 0],
        [0, 1],
        [0, -1],
      ]) {
        path.moveTo(dx * 4, dy * 4);
        path.lineTo(dx * 18, dy * 18);
      }
    for (const [style, width] of [
      ["rgb(0 0 0 / .7)", 3],
      ["#fff", 1.25],
    ]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.stroke(path);
    }
  }

  #onScreen(point) {
    return this.parts.viewport.toScreen(point).map((value) => value * this.ratio);
  }

  #colour(name) {
    return this.parts.store.get("colours").get(name) ?? "#888888";
  }
}

/** A stroke, an outline or a click as a path of the image. */
function pathOf({ action, points }) {
  const path = new Path2D();
  points.forEach(([x, y], place) => (place ? path.lineTo(x, y) : path.moveTo(x, y)));
  if (action === "fill") path.closePath();
  else if (points.length === 1) path.lineTo(points[0][0], points[0][1] + 1e-3); // a dot is drawn, too
  return path;
}

function isLight(colour) {
  const [r, g, b] = [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b > 150;
}

/**
 * What is being drawn right now: the same for a mouse, a pen, a finger and the keyboard. Nothing of
 * it is sent before it is finished, so that a stroke that breaks off leaves no trace.
 */
import { boxesOf, cornersOf } from "./evidence.js";

export const TOOLS = [
  { name: "look", key: "v", title: "Look around", action: null },
  { name: "box", key: "b", title: "Box", action: "add_box" },
  { name: "click", key: "c", title: "Click", action: "click", width: true },
  { name: "scribble", key: "s", title: "Scribble", action: "scribble", width: true },
  { name: "paint", key: "p", title: "Paint exactly", action: "paint", width: true },
  { name: "fill", key: "f", title: "Outline, filled exactly", action: "fill" },
  { name: "erase", key: "e", title: "Erase marks", action: "erase", width: true },
];
const MOST_POINTS = 20_000; // of one event, as the server takes them
const STEP = 0.75; // CSS pixels between two points of a stroke; finer is not seen

export const toolNamed = (name) => TOOLS.find((tool) => tool.name === name);
const round = (value) => Math.round(value * 10) / 10;
const distance = ([a, b], [c, d]) => Math.hypot(a - c, b - d);

export class Pen {
  #store;
  #viewport;

  /** @param {import("./store.js").Store} store @param {import("./viewport.js").Viewport} viewport */
  constructor(store, viewport) {
    this.#store = store;
    this.#viewport = viewport;
  }

  get draft() {
    return this.#store.get("draft");
  }

  /**
   * Begin at a point of the image.
   * @param {string} [tool] another one than is chosen: the other end of a pen erases
   * @returns {string} why that cannot be; empty if it can
   */
  begin(point, tool = this.#store.get("tool")) {
    const { action, width } = toolNamed(tool);
    const label = this.#store.get("label");
    if (action !== "erase" && !label) return "First add a class: what is drawn shows one.";
    if (action === "add_box" && label.number === 0) {
      return `A box goes around an object: choose another class than ${label.name}.`;
    }
    const draft = {
      action,
      points: [point],
      width: width ? this.#store.get("width") : 0,
      replaces: null,
    };
    this.#store.set({ draft: { ...draft, class: action === "erase" ? null : label.name } });
    return "";
  }

  /** Take a box by one of its corners. */
  beginAt(box, corner) {
    const corners = cornersOf(box.points);
    const points = [corners[(corner + 2) % 4], corners[corner]];
    this.#store.set({
      draft: { action: "add_box", class: box.class, points, width: 0, replaces: box },
    });
  }

  /** @param {number[][]} points of the image, in their order */
  extend(points) {
    const draft = this.draft;
    if (!draft || draft.action === "click" || !points.length) return;
    if (draft.action === "add_box") draft.points = [draft.points[0], points.at(-1)];
    else this.#follow(draft, points);
    this.#store.touch("draft");
  }

  #follow(draft, points) {
    const step = STEP / this.#viewport.scale;
    for (const point of points) {
      if (distance(point, draft.points.at(-1)) >= step) draft.points.push(point);
    }
    // a stroke of minutes: every other point is enough
    if (draft.points.length > MOST_POINTS)
      draft.points = draft.points.filter((_, place) => place % 2 === 0);
  }

  cancel() {
    this.#store.set({ draft: null });
  }

  /** End here. @returns {object[]} the events that were drawn; none if it was too small for one */
  finish() {
    const draft = this.draft;
    this.cancel();
    if (!draft) return [];
    if (draft.action === "add_box") return this.#box(draft);
    if (draft.action === "fill" && draft.points.length < 3) return [];
    if (this.#isOutside(draft)) return [];
    const event = { action: draft.action, points: draft.points.map((point) => point.map(round)) };
    if (draft.class !== null) event.class = draft.class;
    if (draft.width) event.width = draft.width;
    return [event];
  }

  /** Beside the image, nothing can be drawn. */
  #isOutside({ points, width: brush }) {
    const { width, height } = this.#store.get("image");
    const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
    const [left, right] = [Math.min(...xs) - brush / 2, Math.max(...xs) + brush / 2];
    const [top, bottom] = [Math.min(...ys) - brush / 2, Math.max(...ys) + brush / 2];
    return right <= 0 || bottom <= 0 || left >= width || top >= height;
  }

  #box({ class: name, points, replaces }) {
    const { width, height } = this.#store.get("image");
    const held = points.map(([x, y]) => [round(clamp(x, width)), round(clamp(y, height))]);
    const [[x1, y1], [x2, y2]] = held;
    const least = 3 / this.#viewport.scale; // CSS pixels: less than that was a click, not a box
    if (points.length < 2 || Math.min(Math.abs(x1 - x2), Math.abs(y1 - y2)) < Math.min(1, least))
      return [];
    if (Math.max(Math.abs(x1 - x2), Math.abs(y1 - y2)) < least) return [];
    const added = { action: "add_box", class: name, points: held };
    return replaces
      ? [{ action: "remove_box", class: name, points: replaces.points }, added]
      : [added];
  }
}

const clamp = (value, most) => Math.min(most, Math.max(0, value));

/** Choose the next or the previous box of the image. @returns {object|null} the box */
export function chooseBox(store, saves, step) {
  const boxes = boxesOf(store.get("image"), saves);
  if (!boxes.length) return null;
  const now = store.get("chosen");
  const place =
    now === null ? (step > 0 ? 0 : boxes.length - 1) : (now + step + boxes.length) % boxes.length;
  store.set({ chosen: place });
  return boxes[place];
}

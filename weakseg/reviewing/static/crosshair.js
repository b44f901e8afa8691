/** Drawing without a pointer: arrow keys move a crosshair, Enter puts a corner or lowers the pen. */

const STEP = 4; // CSS pixels, at least one pixel of the file
const FASTER = 8; // with Shift

export class Crosshair {
  #parts;

  /** @param {{store, viewport, pen, scene, actions}} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  get #at() {
    const { store, viewport } = this.#parts;
    const { width, height } = store.get("image");
    const [x, y] = viewport.toImage([viewport.width / 2, viewport.height / 2]);
    const middle = [clamp(Math.round(x), width), clamp(Math.round(y), height)];
    return store.get("crosshair") ?? middle;
  }

  /** @param {number} dx @param {number} dy -1, 0 or 1 @param {boolean} fast */
  move(dx, dy, fast) {
    const { store, viewport, pen, scene } = this.#parts;
    const { width, height } = store.get("image");
    const step = Math.max(1, Math.round(STEP / viewport.scale)) * (fast ? FASTER : 1);
    const [x, y] = this.#at;
    const to = [clamp(x + dx * step, width), clamp(y + dy * step, height)];
    store.set({ crosshair: to, pointer: null });
    viewport.reveal(to);
    if (pen.draft && pen.draft.action !== "fill") pen.extend([to]);
    scene.request();
  }

  /** Begin, or end what was begun; an outline ends where nothing has moved since its last corner. */
  put() {
    const { store, pen, actions } = this.#parts;
    const at = this.#at;
    store.set({ crosshair: at });
    const draft = pen.draft;
    if (!draft) return this.#begin(at);
    const last = draft.points.at(-1);
    if (draft.action === "fill" && String(last) !== String(at)) {
      pen.extend([at]);
      return actions.tell(
        `corner ${draft.points.length} at ${at.join(", ")}; Enter again here to close`,
      );
    }
    const events = pen.finish();
    if (events.length) actions.edit(...events);
    else actions.tell("too small: nothing was drawn");
  }

  #begin(at) {
    const { pen, actions } = this.#parts;
    const problem = pen.begin(at);
    if (problem) return actions.complain(problem);
    if (pen.draft.action === "click") return actions.edit(...pen.finish());
    actions.tell(`begun at ${at.join(", ")}; arrows draw, Enter ends, Escape gives up`);
  }
}

const clamp = (value, most) => Math.min(most, Math.max(0, value));

/**
 * Mouse, pen and fingers on the canvas: drawing, moving and zooming.
 *
 * Once a pen has been seen, fingers only move and zoom: the hand that holds the pen lies on the
 * screen. While the pen draws, they do nothing at all.
 */
import { boxAt, boxesOf, cornersOf } from "./evidence.js";

const REACH = 8; // CSS pixels around an edge or a corner
const ERASER = 32; // of PointerEvent.buttons: the other end of a pen
const LINE = 16; // CSS pixels of a wheel that counts in lines

export class Pointers {
  #canvas;
  #parts;
  #down = new Map(); // pointerId -> position on the screen
  #doing = null; // {kind: "draw" | "pan", id}
  #penSeen = false;
  #spaceHeld = false;

  /** @param {HTMLCanvasElement} canvas @param {{store, viewport, pen, scene, saves, actions}} parts */
  constructor(canvas, parts) {
    this.#canvas = canvas;
    this.#parts = parts;
    const on = (kind, listener, options) =>
      canvas.addEventListener(kind, listener.bind(this), options);
    on("pointerdown", this.#press);
    on("pointermove", this.#move);
    on("pointerup", this.#release);
    on("pointercancel", this.#breakOff);
    on("lostpointercapture", this.#breakOff);
    on("pointerleave", () => parts.store.set({ pointer: null }));
    on("wheel", this.#wheel, { passive: false });
    on("contextmenu", (event) => event.preventDefault());
    addEventListener("blur", () => this.holdSpace(false));
  }

  /** While the space bar is held, dragging moves the image. */
  holdSpace(held) {
    this.#spaceHeld = held;
    this.#canvas.classList.toggle("grab", held);
  }

  /** Whether a press now would draw. */
  get isDrawing() {
    return this.#doing?.kind === "draw";
  }

  #screen(event) {
    const { left, top } = this.#canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  #point(event) {
    return this.#parts.viewport.toImage(this.#screen(event));
  }

  #press(event) {
    if (!this.#parts.store.get("image")) return;
    this.#canvas.focus({ preventScroll: true });
    if (event.pointerType === "pen") this.#penSeen = true;
    const isPalm = event.pointerType === "touch" && this.isDrawing && this.#doing.type === "pen";
    if (isPalm || event.button === 2) return;
    event.preventDefault();
    this.#canvas.setPointerCapture(event.pointerId);
    this.#down.set(event.pointerId, this.#screen(event));
    if (this.#down.size > 1) this.#twoFingers(event);
    else if (this.#moves(event)) this.#doing = { kind: "pan", id: event.pointerId };
    else this.#draw(event);
  }

  /** Whether a press moves the image instead of drawing. */
  #moves(event) {
    const isHand = this.#parts.store.get("tool") === "look" || this.#spaceHeld;
    return isHand || event.button === 1 || (event.pointerType === "touch" && this.#penSeen);
  }

  /** A second finger: the first one did not mean to draw. */
  #twoFingers(event) {
    if (event.pointerType !== "touch") return;
    this.#parts.pen.cancel();
    this.#doing = { kind: "pan", id: event.pointerId };
  }

  #draw(event) {
    const { pen, actions, store } = this.#parts;
    const point = this.#point(event);
    store.set({ crosshair: null, pointer: point });
    const corner = this.#cornerAt(point);
    if (corner) pen.beginAt(...corner);
    else {
      const problem = pen.begin(point, event.buttons & ERASER ? "erase" : undefined);
      if (problem) return actions.complain(problem);
    }
    this.#doing = { kind: "draw", id: event.pointerId, type: event.pointerType };
  }

  /** @returns {[object, number]|null} the chosen box and the number of the corner under the pointer */
  #cornerAt([x, y]) {
    const { store, saves, viewport } = this.#parts;
    if (store.get("tool") !== "box" || store.get("chosen") === null) return null;
    const image = store.get("image");
    const box = boxesOf(image, saves.pending(image.number))[store.get("chosen")];
    if (!box) return null;
    const corners = cornersOf(box.points);
    const reach = REACH / viewport.scale;
    const corner = corners.findIndex(
      ([a, b]) => Math.abs(a - x) <= reach && Math.abs(b - y) <= reach,
    );
    return corner < 0 ? null : [box, corner];
  }

  #move(event) {
    const { store, pen } = this.#parts;
    if (!this.#down.has(event.pointerId)) {
      if (event.pointerType !== "touch")
        store.set({ pointer: this.#point(event), crosshair: null });
      return;
    }
    if (this.#doing?.kind === "pan") this.#pan(event);
    else if (this.#doing?.id === event.pointerId) {
      store.set({ pointer: this.#point(event) });
      const steps = event.getCoalescedEvents?.() ?? [];
      pen.extend((steps.length ? steps : [event]).map((step) => this.#point(step)));
    }
    this.#down.set(event.pointerId, this.#screen(event));
  }

  /** Move with one pointer; with two, zoom around the middle between them, too. */
  #pan(event) {
    const { viewport, scene } = this.#parts;
    const before = this.#down.get(event.pointerId);
    const now = this.#screen(event);
    const other = [...this.#down].find(([id]) => id !== event.pointerId)?.[1];
    const share = other ? 0.5 : 1;
    viewport.pan((now[0] - before[0]) * share, (now[1] - before[1]) * share);
    if (other) {
      const apart = ([x, y]) => Math.max(1, Math.hypot(x - other[0], y - other[1]));
      viewport.zoom(apart(now) / apart(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
    }
    scene.request();
  }

  #release(event) {
    const { pen, actions } = this.#parts;
    this.#down.delete(event.pointerId);
    if (this.#doing?.id !== event.pointerId && this.#down.size) return;
    const doing = this.#doing;
    // one finger of two still moves the image
    const [rest] = this.#down.keys();
    this.#doing = rest === undefined ? null : { kind: "pan", id: rest };
    if (doing?.kind !== "draw") return;
    pen.extend([this.#point(event)]);
    const events = pen.finish();
    if (events.length) actions.edit(...events);
    else if (this.#parts.store.get("tool") === "box") this.#choose(this.#point(event));
  }

  #choose(point) {
    const { store, saves, viewport, actions } = this.#parts;
    const image = store.get("image");
    const boxes = boxesOf(image, saves.pending(image.number));
    const place = boxAt(boxes, point, REACH / viewport.scale);
    store.set({ chosen: place < 0 ? null : place });
    if (place >= 0) actions.tellBox(boxes[place], place, boxes.length);
  }

  /** The system took the pointer away: nothing of the stroke is kept. */
  #breakOff(event) {
    if (!this.#down.delete(event.pointerId)) return;
    if (this.#doing?.id !== event.pointerId) return;
    if (this.isDrawing) this.#parts.pen.cancel();
    this.#doing = null;
  }

  #wheel(event) {
    event.preventDefault();
    const { viewport, scene } = this.#parts;
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE : 1;
    const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
    if (event.shiftKey) viewport.pan(-(dx || dy), 0);
    else {
      // a touchpad says a pinch as small steps with the control key
      const speed = event.ctrlKey ? 0.01 : 0.002;
      viewport.zoom(Math.exp(-dy * speed), this.#screen(event));
    }
    scene.request();
  }
}

/**
 * What a person did and the folder does not have yet. Events go out one after the other, each with
 * the revision that the answer before it gave; nothing leaves this list before it is saved, or the
 * person gives it up.
 */
import { ApiError, postJson } from "./api.js";

const FIRST_WAIT = 500; // ms; doubled with each failure
const LONGEST_WAIT = 8000;

/**
 * @typedef {object} Save
 * @property {number} number of the image
 * @property {object} event
 * @property {"waiting"|"sending"|"held"} state held: refused, and waits for the person
 * @property {string} reason why it is held
 * @property {boolean} tried whether it was sent before, and perhaps saved without an answer
 * @property {number} began when the person did it, for the measured latency
 */

export class Saves extends EventTarget {
  #list = []; // of Save, the oldest first
  #seen = new Map(); // number of an image -> its newest state, as the server gave it
  #working = false;
  #failures = 0;
  #timer = 0;
  trouble = ""; // why saving does not go on right now
  retryAt = 0;

  /** @param {(number: number) => number} takeSeconds seconds of work to go with an event of an image */
  constructor(takeSeconds, who = "") {
    super();
    this.takeSeconds = takeSeconds;
    this.who = who;
  }

  /** @returns {Save[]} of one image, or all */
  pending(number = null) {
    return this.#list.filter((save) => number === null || save.number === number);
  }

  /** Whether something is on its way that will be saved without the person. */
  get busy() {
    return this.#list.some((save) => save.state !== "held");
  }

  /** Remember the state of an image, unless a newer one is known. */
  remember(image) {
    const known = this.#seen.get(image.number);
    if (!known || known.revision <= image.revision) this.#seen.set(image.number, image);
  }

  known(number) {
    return this.#seen.get(number) ?? null;
  }

  /** @param {number} number of the image @param {object} event without seconds and who */
  add(number, event) {
    const seconds = this.takeSeconds(number);
    const whole = { ...event, seconds, who: this.who };
    this.#list.push({
      number,
      event: whole,
      state: "waiting",
      reason: "",
      tried: false,
      began: performance.now(),
    });
    this.#tell();
    this.#work();
  }

  /** Try held events of an image again, on top of its newest state. */
  applyAgain(number) {
    for (const save of this.pending(number)) Object.assign(save, { state: "waiting", reason: "" });
    this.#tell();
    this.#work();
  }

  /** Give held events of an image up. */
  giveUp(number) {
    this.#list = this.#list.filter((save) => save.number !== number || save.state !== "held");
    this.#tell();
  }

  /** Try at once what failed for the moment. */
  retry() {
    clearTimeout(this.#timer);
    this.#work();
  }

  async #work() {
    if (this.#working) return;
    this.#working = true;
    clearTimeout(this.#timer);
    try {
      for (let save = this.#next(); save; save = this.#next()) {
        if (!(await this.#send(save))) break;
      }
    } finally {
      this.#working = false;
      this.#tell();
    }
  }

  /** The oldest one that can go; after a held one of the same image, later ones wait, too. */
  #next() {
    return this.#list.find((save) => save.state !== "held" && !this.#isBlocked(save));
  }

  #isBlocked(save) {
    return this.#list.some((other) => other.number === save.number && other.state === "held");
  }

  /** @returns {Promise<boolean>} whether to go on with the next one */
  async #send(save) {
    save.state = "sending";
    this.#tell();
    const before = this.#seen.get(save.number);
    try {
      const revision = before?.revision ?? 0;
      const image = await postJson(`/api/images/${save.number}/events`, {
        revision,
        event: save.event,
      });
      return this.#saved(save, image);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return this.#failed(save, error, before);
    }
  }

  #saved(save, image) {
    this.#list.splice(this.#list.indexOf(save), 1);
    this.#recovered();
    this.remember(image);
    this.dispatchEvent(new CustomEvent("saved", { detail: { save, image } }));
    return true;
  }

  #failed(save, error, before) {
    const image = error.status === 409 ? error.body?.image : null;
    if (image) this.#seen.set(save.number, image);
    if (image && save.tried && isMadeBy(save.event, before, image)) return this.#saved(save, image);
    if (image && before && isSame(before, image) && before.revision !== image.revision) {
      save.state = "waiting"; // only seconds were added: nothing that the person did not see
      return true;
    }
    if (error.passing || error.status === 507) return this.#later(save, error);
    Object.assign(save, { state: "held", reason: error.message });
    this.#recovered();
    const kind = image ? "conflict" : "refused";
    this.dispatchEvent(new CustomEvent(kind, { detail: { save, image, error } }));
    return true;
  }

  #later(save, error) {
    Object.assign(save, { state: "waiting", tried: true });
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.#failures++);
    this.trouble = error.status === 403 ? NEW_SECRET : error.message;
    this.retryAt = performance.now() + wait;
    this.#timer = setTimeout(() => this.#work(), wait);
    return false;
  }

  #recovered() {
    this.#failures = 0;
    this.trouble = "";
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}

const NEW_SECRET =
  "the review was started anew: open the address that it printed in another tab, and this page goes on";

/** Whether two states of an image show the same evidence and verdict. */
function isSame(one, other) {
  const content = ({ status, tags, boxes, strokes }) =>
    JSON.stringify([status, tags, boxes, strokes]);
  return content(one) === content(other);
}

/** Whether an event is what was done last to an image: it was saved, but the answer got lost. */
function isMadeBy(event, before, image) {
  if (image.revision !== (before?.revision ?? 0) + 1) return false;
  if (event.action === "undo" || event.action === "redo")
    return image[`can_${event.action === "undo" ? "redo" : "undo"}`];
  if (image.undo !== event.action) return false;
  const last = image.strokes?.at(-1);
  const isStroke = last?.action === event.action;
  return !isStroke || JSON.stringify(last.points) === JSON.stringify(event.points);
}

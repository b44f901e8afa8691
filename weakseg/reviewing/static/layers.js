/**
 * The pictures of the image that is shown. Each kind has one slot; a newer request for a slot calls
 * an older one off, so that an answer that comes too late is never drawn.
 */
import { getPicture } from "./api.js";
import { Labels, differenceOf } from "./labels.js";

export const KINDS = ["photo", "marks", "target", "prediction", "truth"];
const KEPT = 40; // pictures; of the next images, and of those just left

export class Layers extends EventTarget {
  #cache = new Map(); // address -> Labels; the oldest first
  #slots = Object.fromEntries(
    KINDS.map((kind) => [kind, { address: null, labels: null, call: null, error: null }]),
  );
  #difference = { first: null, second: null, canvas: null };
  #ahead = null;

  /** What is to be drawn of a kind; null if there is nothing, or nothing yet. @returns {Labels|null} */
  get(kind) {
    return this.#slots[kind].labels;
  }

  /** Why a kind cannot be shown. @returns {Error|null} */
  error(kind) {
    return this.#slots[kind].error;
  }

  isLoading(kind) {
    return this.#slots[kind].call !== null;
  }

  /** Whether a picture is there without asking for it. */
  has(address) {
    return this.#cache.has(address);
  }

  /** The address of what is drawn, which tells its revision. */
  address(kind) {
    return this.#slots[kind].labels ? this.#slots[kind].address : null;
  }

  /** Forget what is shown: it belongs to another image. */
  clear() {
    for (const slot of Object.values(this.#slots)) {
      slot.call?.abort();
      Object.assign(slot, { address: null, labels: null, call: null, error: null });
    }
    this.#ahead?.abort();
  }

  /**
   * Show a picture in a slot. What is there already stays until the new one has come, so that
   * nothing flickers.
   * @param {string} kind @param {string|null} address
   */
  async show(kind, address) {
    const slot = this.#slots[kind];
    if (slot.address === address && !slot.error?.passing) return;
    slot.call?.abort();
    Object.assign(slot, { address, call: null, error: null });
    if (address === null) slot.labels = null;
    else if (this.#cache.has(address)) slot.labels = this.#recall(address);
    else await this.#load(slot, kind, address);
    this.#tell(kind);
  }

  async #load(slot, kind, address) {
    const call = new AbortController();
    slot.call = call;
    this.#ahead?.abort(); // what is shown comes before what may be shown next
    this.#tell(kind);
    try {
      const labels = await this.#fetch(address, call.signal);
      if (slot.call === call) Object.assign(slot, { labels, call: null });
    } catch (error) {
      // an old target beside new evidence would be a lie
      if (slot.call === call) Object.assign(slot, { labels: null, call: null, error });
    }
  }

  async #fetch(address, signal) {
    const labels = new Labels(await getPicture(address, signal));
    this.#cache.set(address, labels);
    if (this.#cache.size > KEPT) this.#cache.delete(this.#cache.keys().next().value);
    return labels;
  }

  #recall(address) {
    const labels = this.#cache.get(address);
    this.#cache.delete(address);
    this.#cache.set(address, labels);
    return labels;
  }

  /** Fetch pictures that may be wanted soon, one after the other, until something else is. */
  async fetchAhead(addresses) {
    this.#ahead?.abort();
    const call = new AbortController();
    this.#ahead = call;
    for (const address of addresses) {
      if (address === null || this.#cache.has(address)) continue;
      // whether it can be had is said when it is shown
      await this.#fetch(address, call.signal).catch(() => null);
      if (call.signal.aborted) return;
    }
  }

  /** Where target and prediction differ. @returns {OffscreenCanvas|null} */
  get difference() {
    const [first, second] = [this.get("target"), this.get("prediction")];
    if (!first || !second) return null;
    const kept = this.#difference;
    if (kept.first !== first || kept.second !== second) {
      this.#difference = { first, second, canvas: differenceOf(first, second) };
    }
    return this.#difference.canvas;
  }

  #tell(kind) {
    this.dispatchEvent(new CustomEvent("change", { detail: kind }));
  }
}

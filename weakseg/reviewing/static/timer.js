/**
 * Seconds that a person works on an image: the page is visible, and something was done within the
 * last half minute. The rest of a longer pause is idle time and does not count.
 */
const IDLE = 30; // seconds
const SIGNS = ["pointermove", "pointerdown", "keydown", "wheel", "touchstart"];

export class Timer {
  #now;
  #collected = 0;
  #visible = false;
  #lastSign = 0; // when the person last did something
  #countedTo = 0; // time before that is collected, or was idle

  /** @param {() => number} now seconds of a clock that only grows */
  constructor(now = () => performance.now() / 1000) {
    this.#now = now;
    if (document.visibilityState === "visible") this.resume();
  }

  /** Listen for whatever a person does. */
  watch() {
    for (const kind of SIGNS) {
      addEventListener(kind, () => this.active(), { passive: true, capture: true });
    }
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.resume();
      else this.pause();
    });
  }

  active() {
    if (!this.#visible) return;
    this.#collect();
    this.#lastSign = this.#countedTo = this.#now();
  }

  pause() {
    if (this.#visible) this.#collect();
    this.#visible = false;
  }

  resume() {
    this.#visible = true;
    this.#lastSign = this.#countedTo = this.#now();
  }

  /** What has come together and is not taken yet. */
  get seconds() {
    if (this.#visible) this.#collect();
    return this.#collected;
  }

  /** Take what has come together, to send it, so that it is counted once. */
  take() {
    const taken = this.seconds;
    this.#collected = 0;
    return Math.round(taken * 100) / 100;
  }

  #collect() {
    const to = Math.min(this.#now(), this.#lastSign + IDLE);
    this.#collected += Math.max(0, to - this.#countedTo);
    this.#countedTo = Math.max(this.#countedTo, to);
  }
}

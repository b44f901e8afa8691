/** Lines above the image: what is wrong, in plain words, and what can be done about it. */
import { byId, el } from "./dom.js";

export class Notices {
  #shown = new Map();

  constructor() {
    this.place = byId("notices");
    this.live = byId("live");
  }

  /**
   * @param {string} name one line per name; a newer one takes its place
   * @param {string} text
   * @param {{kind?: "info"|"warn"|"error", actions?: Object<string, () => void>, seconds?: number}} options
   */
  show(name, text, { kind = "info", actions = {}, seconds = 0 } = {}) {
    const before = this.#shown.get(name);
    if (before?.text === text) return;
    this.clear(name);
    const buttons = Object.entries(actions).map(([title, run]) =>
      el("button", { type: "button", text: title, onclick: run }),
    );
    const close = el("button", {
      type: "button",
      class: "quiet",
      text: "✕",
      "aria-label": "close",
      onclick: () => this.clear(name),
    });
    const role = kind === "info" ? "status" : "alert";
    const element = el(
      "div",
      { class: `notice ${kind}`, role, "data-name": name },
      el("span", { text }),
      ...buttons,
      close,
    );
    this.place.append(element);
    const timer = seconds ? setTimeout(() => this.clear(name), seconds * 1000) : 0;
    this.#shown.set(name, { element, text, timer });
  }

  clear(name) {
    const shown = this.#shown.get(name);
    if (!shown) return;
    clearTimeout(shown.timer);
    shown.element.remove();
    this.#shown.delete(name);
  }

  /** Read by screen readers only; the same text again is read again. */
  announce(text) {
    this.live.textContent = "";
    requestAnimationFrame(() => (this.live.textContent = text));
  }
}

/**
 * What the parts of the page share, and who wants to know when it changes.
 *
 * A part never calls another one to redraw: it sets values here, and whoever shows them listens.
 */
export class Store {
  #values;
  #listeners = new Set();
  #changed = new Set();

  /** @param {Object<string, any>} values at the start; later ones must be named here, too */
  constructor(values) {
    this.#values = { ...values };
  }

  /** @param {string} name */
  get(name) {
    if (!(name in this.#values)) throw new Error(`the store has no value ${name}`);
    return this.#values[name];
  }

  /** Change some values; listeners are told once, after the current task, however many sets there are. */
  set(values) {
    for (const [name, value] of Object.entries(values)) {
      if (this.get(name) === value) continue;
      this.#values[name] = value;
      if (!this.#changed.size) queueMicrotask(() => this.#tell());
      this.#changed.add(name);
    }
  }

  /** Say that something inside of a value has changed. */
  touch(name) {
    if (!this.#changed.size) queueMicrotask(() => this.#tell());
    this.#changed.add(name);
  }

  /**
   * @param {string[]} names of the values to listen to
   * @param {() => void} listener called at once, and after each change of one of them
   */
  on(names, listener) {
    this.#listeners.add({ names, listener });
    listener();
  }

  #tell() {
    const changed = this.#changed;
    this.#changed = new Set();
    for (const { names, listener } of this.#listeners) {
      if (names.some((name) => changed.has(name))) listener();
    }
  }
}

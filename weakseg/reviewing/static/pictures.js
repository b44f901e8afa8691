/** Which pictures the image on the page needs now, and which ones may be wanted next. */
import { getJson } from "./api.js";
import { STROKES } from "./evidence.js";

const AHEAD = 2; // images that are made ready before they are asked for
const PASSING = 120; // ms that an image is shown before its target is asked for
const AGAIN = 2000; // ms until a picture that failed for the moment is asked for once more

export class Pictures extends EventTarget {
  #parts;
  #unseen = []; // {event, number}: saved strokes that no picture of the marks shows yet
  #asked = 0; // when the person did what the target is estimated for
  #ahead = null;
  #arrived = 0; // when the image that is shown was opened
  #again = 0;

  /** @param {{store, layers, saves, actions}} parts */
  constructor(parts) {
    super();
    this.#parts = parts;
    const { store, layers, saves } = parts;
    store.on(["number"], () => (this.#arrived = performance.now()));
    store.on(["image", "layers", "strategy"], () => this.update());
    saves.addEventListener("change", () => this.update());
    saves.addEventListener("saved", ({ detail: { save } }) => {
      if (STROKES.has(save.event.action)) this.#unseen.push(save);
      if (save.number === store.get("number")) this.#asked = save.began;
    });
    layers.addEventListener("change", ({ detail: kind }) => this.#came(kind));
  }

  /** Events that are saved, but not in the picture of the marks yet. */
  get unseen() {
    const number = this.#parts.store.get("number");
    return this.#unseen.filter((save) => save.number === number).map((save) => save.event);
  }

  update() {
    const { store, layers, saves } = this.#parts;
    const image = store.get("image");
    if (!image) return;
    const shown = store.get("layers");
    const { photo, marks, prediction, truth } = image.layers;
    layers.show("photo", photo);
    layers.show("marks", marks);
    layers.show("prediction", shown.prediction || shown.difference ? prediction : null);
    layers.show("truth", shown.truth ? truth : null);
    this.#showTarget(image, shown.target || shown.difference ? this.target(image) : null);
  }

  #showTarget(image, address) {
    const { layers, saves } = this.#parts;
    // not for each of several strokes in a row: for the last one
    if (saves.pending(image.number).some((save) => save.state !== "held")) return;
    const rest = this.#arrived + PASSING - performance.now();
    // nor for images that the person only passes: estimates take a while
    if (rest > 0 && address && !layers.has(address)) return this.#later(rest);
    layers.show("target", address);
  }

  /** The address of an image's target, by the strategy that was chosen. */
  target(image) {
    const { store } = this.#parts;
    const strategy = store.get("strategy");
    const address = isBare(image, store.get("session")) ? null : image.layers.target;
    if (address === null || strategy === store.get("session").strategy) return address;
    const url = new URL(address, location.href);
    url.searchParams.set("strategy", strategy);
    return url.pathname + url.search;
  }

  #came(kind) {
    const { store, layers } = this.#parts;
    const image = store.get("image");
    if (
      kind === "marks" &&
      image &&
      layers.address("marks") === image.layers.marks &&
      !layers.isLoading("marks")
    ) {
      this.#unseen = this.#unseen.filter((save) => save.number !== image.number);
    }
    if (layers.error(kind)?.passing) this.#later(AGAIN);
    if (kind === "target" && !layers.isLoading("target")) this.#targetCame();
    this.dispatchEvent(new Event("change"));
  }

  #later(wait) {
    clearTimeout(this.#again);
    this.#again = setTimeout(() => this.update(), wait);
  }

  #targetCame() {
    const { store, layers } = this.#parts;
    if (this.#asked && layers.get("target"))
      store.set({ latency: Math.round(performance.now() - this.#asked) });
    this.#asked = 0;
    this.#fetchAhead();
  }

  async #fetchAhead() {
    const { actions, saves, layers, store } = this.#parts;
    this.#ahead?.abort();
    const call = new AbortController();
    this.#ahead = call;
    const addresses = [];
    for (const number of actions.nextOpen(AHEAD)) {
      const image =
        saves.known(number) ??
        (await getJson(`/api/images/${number}`, call.signal).catch(() => null));
      if (call.signal.aborted || !image) return;
      saves.remember(image);
      addresses.push(image.layers.photo);
      if (store.get("layers").target) addresses.push(this.target(image));
    }
    await layers.fetchAhead(addresses);
  }
}

/** Whether there is nothing that a target could be estimated from. */
export function isBare(image, session) {
  return !image.kinds.length && !session.has_prediction;
}

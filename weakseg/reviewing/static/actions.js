/** What a person can do, whichever key, button or pointer says so. */
import { ApiError, getJson, postJson, sendSeconds } from "./api.js";
import { boxesOf, tagsOf } from "./evidence.js";
import { FILTERS } from "./gallery.js";
import { isBare } from "./pictures.js";

const WIDTHS = [1, 200]; // pixels of the file
const OPACITIES = [0.55, 1, 0, 0.25];
/** What L goes through: what is to be seen beside photo and evidence. */
const VIEWS = [["target"], ["prediction"], ["truth"], ["difference"], []];
const DONE = { accept: "accepted", skip: "skipped", exclude: "excluded" };

export class Actions {
  #parts;
  #opening = null;

  /** @param {{store, saves, layers, timer, notices, pictures}} parts */
  constructor(parts) {
    this.#parts = parts;
    this.carried = new Map(); // seconds of images that could not be sent by themselves
    this.decided = null; // the image whose verdict was the last step: undo goes back to it
  }

  // images -----------------------------------------------------------------------------------------

  /** Show an image of the queue. */
  async open(number) {
    const { store, saves, layers, notices } = this.#parts;
    if (number === store.get("number")) return;
    this.decided = null;
    this.#leave();
    layers.clear();
    store.set({
      number,
      image: saves.known(number),
      chosen: null,
      draft: null,
      crosshair: null,
      problem: "",
    });
    notices.clear("image");
    location.replace(`#${number}`);
    await this.refresh(number);
  }

  /** Ask for the newest state of the image that is shown. */
  async refresh(number = this.#parts.store.get("number")) {
    const { store, saves } = this.#parts;
    this.#opening?.abort();
    const call = new AbortController();
    this.#opening = call;
    try {
      const image = await getJson(`/api/images/${number}`, call.signal);
      saves.remember(image);
      this.take(saves.known(number));
      if (store.get("number") === number) store.set({ problem: "" });
    } catch (error) {
      if (!(error instanceof ApiError)) return; // another image was opened meanwhile
      store.set({ problem: error.message });
      if (error.passing)
        setTimeout(() => store.get("number") === number && this.refresh(number), 2000);
    }
  }

  /** A new state of an image has come. */
  take(image) {
    const { store } = this.#parts;
    if (store.get("number") === image.number)
      store.set({ image, chosen: this.#stillChosen(image) });
    const { number, status, edits } = image;
    this.#changeRow(number, (row) => ({ ...row, status, edits }));
  }

  #stillChosen(image) {
    const { store, saves } = this.#parts;
    const chosen = store.get("chosen");
    const boxes = boxesOf(image, saves.pending(image.number));
    return chosen !== null && chosen < boxes.length ? chosen : null;
  }

  #changeRow(number, change) {
    const { store } = this.#parts;
    const queue = store.get("queue");
    const place = queue.findIndex((row) => row.number === number);
    if (place < 0) return;
    const row = change(queue[place]);
    if (row.status === queue[place].status && row.edits === queue[place].edits) return;
    store.set({ queue: queue.with(place, row) });
  }

  /** The seconds spent on the image that is left. */
  #leave() {
    const number = this.#parts.store.get("number");
    if (number === null) return;
    const seconds = this.takeSeconds(number);
    if (seconds < 0.5) return this.carried.set(number, seconds);
    const keep = () => this.carried.set(number, (this.carried.get(number) ?? 0) + seconds);
    postJson(`/api/images/${number}/seconds`, { seconds }).catch(keep);
  }

  /** Seconds of work on an image since they were last taken. */
  takeSeconds(number) {
    const carried = this.carried.get(number) ?? 0;
    this.carried.delete(number);
    const { timer, store } = this.#parts;
    const taken = number === store.get("number") ? timer.take() : 0;
    return Math.round((carried + taken) * 100) / 100;
  }

  /** The page is being hidden or closed. */
  hide() {
    const number = this.#parts.store.get("number");
    this.#parts.timer.pause();
    if (number === null || this.#parts.saves.pending(number).length) return; // seconds go with those
    const seconds = this.takeSeconds(number);
    if (seconds > 0 && !sendSeconds(number, seconds)) this.carried.set(number, seconds);
  }

  /** Go so many images on in the list. */
  step(by) {
    const { store, gallery } = this.#parts;
    const { shown } = gallery;
    if (!shown.length) return;
    const now = shown.findIndex((row) => row.number === store.get("number"));
    const to =
      now < 0 ? this.#besideHidden(shown, by) : Math.min(shown.length - 1, Math.max(0, now + by));
    this.open(shown[to].number);
  }

  /** The image that is shown is not in the list, as the filter leaves it out: go on from its place. */
  #besideHidden(shown, by) {
    const places = new Map(this.#parts.store.get("queue").map((row, place) => [row.number, place]));
    const now = places.get(this.#parts.store.get("number")) ?? -1;
    const after = shown.findIndex((row) => places.get(row.number) > now);
    if (by > 0) return after < 0 ? shown.length - 1 : after;
    return Math.max(0, (after < 0 ? shown.length : after) - 1);
  }

  /** @returns {number[]} the next images that are open, from the one that is shown on */
  nextOpen(count) {
    const { store } = this.#parts;
    const queue = store.get("queue");
    const now = queue.findIndex((row) => row.number === store.get("number"));
    const order = [...queue.slice(now + 1), ...queue.slice(0, Math.max(0, now))];
    return order
      .filter((row) => FILTERS.open.has(row) && !row.broken)
      .slice(0, count)
      .map((row) => row.number);
  }

  // verdicts and edits --------------------------------------------------------------------------------

  /** @param {"accept"|"skip"|"exclude"} verdict */
  decide(verdict) {
    const { store, saves, dialogs } = this.#parts;
    const image = store.get("image");
    if (!image) return;
    if (
      verdict === "accept" &&
      isBare(image, store.get("session")) &&
      !saves.pending(image.number).length
    ) {
      return this.complain(
        "Nothing is annotated here that could be accepted: draw something, or skip the image (N).",
      );
    }
    const [next] = this.nextOpen(1);
    saves.add(image.number, { action: verdict });
    this.#changeRow(image.number, (row) => ({ ...row, status: DONE[verdict] }));
    this.tell(`${image.name}: ${DONE[verdict]}`);
    if (next !== undefined) this.open(next);
    else dialogs.train("Every image is decided.");
    this.decided = image.number;
  }

  /** @param {...object} events of the image that is shown */
  edit(...events) {
    const { saves, store } = this.#parts;
    const { number } = store.get("image");
    this.decided = null;
    for (const event of events) saves.add(number, event);
    this.tell(`${events.at(-1).action.replace("_", " ")} ${events.at(-1).class ?? ""}`);
  }

  undo() {
    this.#turn("undo");
  }

  redo() {
    this.#turn("redo");
  }

  #turn(action) {
    const { store, saves } = this.#parts;
    const image = store.get("image");
    const draft = store.get("draft");
    if (draft) return store.set({ draft: null });
    if (action === "undo" && this.decided !== null) return this.#takeBack();
    if (!image) return;
    const isWaiting = saves.pending(image.number).length > 0;
    if (!image[`can_${action}`] && !isWaiting) return this.tell(`nothing to ${action}`);
    saves.add(image.number, { action });
    this.tell(action);
  }

  /** A verdict has led on to the next image: back to the one that it was about. */
  #takeBack() {
    const number = this.decided;
    this.decided = null;
    this.open(number);
    this.#parts.saves.add(number, { action: "undo" });
    this.tell("undo");
  }

  removeBox() {
    const { store, saves } = this.#parts;
    const image = store.get("image");
    if (!image || store.get("chosen") === null) return;
    const box = boxesOf(image, saves.pending(image.number))[store.get("chosen")];
    store.set({ chosen: null });
    if (box) this.edit({ action: "remove_box", class: box.class, points: box.points });
  }

  toggleTag(name) {
    const { store, saves } = this.#parts;
    const image = store.get("image");
    if (!image) return;
    const has = tagsOf(image, saves.pending(image.number))?.has(name);
    this.edit({ action: has ? "remove_tag" : "add_tag", class: name });
  }

  // tools ---------------------------------------------------------------------------------------------

  choose(tool) {
    if (tool === "tags") this.tell("tags: digits name or unname classes");
    this.#parts.store.set({ tool, chosen: null, draft: null });
  }

  chooseClass(number) {
    const { store } = this.#parts;
    const found = store.get("classes").find((one) => one.number === number);
    if (!found) return;
    if (store.get("tool") === "tags") this.toggleTag(found.name);
    else {
      store.set({ label: found });
      this.tell(`class ${found.name}`);
    }
  }

  async addClass(name) {
    const { store, notices } = this.#parts;
    try {
      const answer = await postJson("/api/classes", { name });
      const session = answer.classes?.[0]?.colour ? answer : await getJson("/api/session");
      this.takeSession(session);
      store.set({ label: session.classes.at(-1) });
      notices.clear("class");
      notices.clear("hint");
      return true;
    } catch (error) {
      notices.show("class", error.message, { kind: "error" });
      return false;
    }
  }

  takeSession(session) {
    const { store } = this.#parts;
    const colours = new Map(session.classes.map(({ name, colour }) => [name, colour]));
    const named = store.get("label")?.name;
    const label = session.classes.find(({ name }) => name === named) ?? session.classes[1] ?? null;
    store.set({ session, classes: session.classes, colours, label });
  }

  widen(factor) {
    const { store } = this.#parts;
    const before = store.get("width");
    const after =
      factor > 1
        ? Math.max(before + 1, Math.round(before * factor))
        : Math.min(before - 1, Math.round(before * factor));
    this.setWidth(after);
  }

  setWidth(width) {
    const [least, most] = WIDTHS;
    this.#parts.store.set({ width: Math.min(most, Math.max(least, width)) });
  }

  giveUp(pen) {
    const { store } = this.#parts;
    if (pen.draft) pen.cancel();
    else if (store.get("chosen") !== null) store.set({ chosen: null });
    else store.set({ tool: "look", crosshair: null });
  }

  // what is seen -------------------------------------------------------------------------------------

  toggleLayer(name) {
    const { store } = this.#parts;
    const layers = store.get("layers");
    store.set({ layers: { ...layers, [name]: !layers[name] } });
  }

  cycleLayers() {
    const { store } = this.#parts;
    const { session } = { session: store.get("session") };
    const can = {
      target: true,
      prediction: session.has_prediction,
      truth: session.has_truth,
      difference: session.has_prediction,
    };
    const views = VIEWS.filter((view) => view.every((name) => can[name]));
    const layers = store.get("layers");
    const names = ["target", "prediction", "truth", "difference"];
    const now = views.findIndex((view) =>
      names.every((name) => layers[name] === view.includes(name)),
    );
    const view = views[(now + 1) % views.length];
    store.set({
      layers: {
        ...layers,
        ...Object.fromEntries(names.map((name) => [name, view.includes(name)])),
      },
    });
    this.tell(view.length ? `${view[0]} shown` : "photo and evidence only");
  }

  cycleOpacity() {
    const { store } = this.#parts;
    const now = OPACITIES.findIndex((value) => Math.abs(value - store.get("opacity")) < 0.01);
    store.set({ opacity: OPACITIES[(now + 1) % OPACITIES.length] });
  }

  search() {
    document.getElementById("search").focus();
  }

  // words ---------------------------------------------------------------------------------------------

  /** For screen readers, quietly. */
  tell(text) {
    this.#parts.notices.announce(text);
  }

  /** For everybody, for a few seconds. */
  complain(text) {
    this.#parts.notices.show("hint", text, { kind: "warn", seconds: 5 });
  }

  tellBox(box, place) {
    const [[x1, y1], [x2, y2]] = box.points.map((point) => point.map(Math.round));
    this.tell(
      `box ${place + 1}, ${box.class}, from ${x1}, ${y1} to ${x2}, ${y2}; Delete removes it`,
    );
  }
}

/** Puts the page together. */
import { Actions } from "./actions.js";
import { ApiError, getJson } from "./api.js";
import { Crosshair } from "./crosshair.js";
import { Dialogs } from "./dialogs.js";
import { byId } from "./dom.js";
import { FILTERS, Gallery } from "./gallery.js";
import { Header } from "./header.js";
import { keysOf, listen } from "./keys.js";
import { Layers } from "./layers.js";
import { Notices } from "./notices.js";
import { Panel } from "./panel.js";
import { Pen } from "./pen.js";
import { Pictures } from "./pictures.js";
import { Pointers } from "./pointers.js";
import { keepPreferences } from "./preferences.js";
import { Saves } from "./saves.js";
import { Scene } from "./scene.js";
import { Stage } from "./stage.js";
import { Store } from "./store.js";
import { Timer } from "./timer.js";
import { Viewport } from "./viewport.js";

const LOOK_AGAIN = 4000; // ms

const store = new Store({
  session: null,
  classes: [],
  colours: new Map(),
  label: null, // the class that is drawn
  queue: [],
  working: "", // what the server does in the background
  filter: "all",
  search: "",
  number: null, // of the image that is shown
  image: null, // its state, as the server gave it
  problem: "", // why it cannot be shown
  tool: "look",
  width: null, // of the brush, in pixels of the file; null until the first image tells what goes with it
  ring: false, // whether the pointer shows the width of the brush
  layers: {
    photo: true,
    evidence: true,
    target: true,
    prediction: false,
    truth: false,
    difference: false,
  },
  opacity: 0.55,
  outline: false,
  strategy: null,
  chosen: null, // place of the chosen box
  draft: null, // what is being drawn
  pointer: null,
  crosshair: null,
  latency: 0,
});

const parts = {
  store,
  viewport: new Viewport(),
  layers: new Layers(),
  notices: new Notices(),
  timer: new Timer(),
};
parts.saves = new Saves((number) => parts.actions.takeSeconds(number));
parts.actions = new Actions(parts);
parts.dialogs = new Dialogs(parts);
parts.pictures = new Pictures(parts);
parts.scene = new Scene(byId("canvas"), { ...parts, unseen: () => parts.pictures.unseen });
parts.pen = new Pen(store, parts.viewport);
parts.gallery = new Gallery(parts);
parts.crosshair = new Crosshair(parts);
parts.stage = new Stage(parts);
parts.header = new Header(parts);
parts.panel = new Panel(parts);
const pointers = new Pointers(byId("canvas"), parts);

function watchSaves() {
  const { saves, actions, notices } = parts;
  const choices = (number) => ({
    "Apply again": () => (notices.clear("held"), saves.applyAgain(number)),
    Discard: () => (notices.clear("held"), saves.giveUp(number)),
  });
  saves.addEventListener("saved", ({ detail: { image } }) => actions.take(image));
  saves.addEventListener("conflict", ({ detail: { save, image } }) => {
    actions.take(image);
    const text = `${image.name} was changed elsewhere meanwhile and shows that now. What you did last is not saved yet.`;
    notices.show("held", text, { kind: "warn", actions: choices(save.number) });
  });
  saves.addEventListener("refused", ({ detail: { save, error } }) => {
    notices.show("held", `Not saved: ${error.message}`, {
      kind: "error",
      actions: choices(save.number),
    });
    actions.refresh();
  });
  addEventListener("beforeunload", (event) => {
    if (saves.pending().length) event.preventDefault(); // the browser asks whether to leave
  });
}

function watchTime() {
  parts.timer.watch();
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") parts.actions.hide();
    else if (store.get("number") !== null)
      loadQueue().then(
        () => parts.actions.refresh(),
        () => null,
      );
  });
  addEventListener("pagehide", () => parts.actions.hide());
}

let looking = 0;

/** Load the list, and again from time to time while the server still measures or fits something. */
async function loadQueue() {
  clearTimeout(looking);
  const { images, working } = await getJson("/api/queue");
  store.set({ queue: images, working: working ?? "" });
  if (working) looking = setTimeout(() => loadQueue().catch(() => null), LOOK_AGAIN);
}

/** The image that the address names, or the first one that is open. */
function firstImage() {
  const queue = store.get("queue");
  const named = queue.find((row) => String(row.number) === location.hash.slice(1));
  return named ?? queue.find((row) => FILTERS.open.has(row) && !row.broken) ?? queue[0];
}

async function start() {
  const { actions, notices, saves } = parts;
  try {
    const session = await getJson("/api/session");
    store.set({ strategy: session.strategy });
    saves.who = session.who;
    actions.takeSession(session);
    await loadQueue();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    notices.show("start", `${error.message}; trying again`, { kind: "error" });
    return setTimeout(start, 2000);
  }
  notices.clear("start");
  const first = firstImage();
  if (first) await actions.open(first.number);
  else notices.show("start", "There are no images in this data set.", { kind: "warn" });
  document.documentElement.dataset.ready = "yes"; // tests wait for it
}

const keys = keysOf(parts);
parts.dialogs.list(keys);
listen(keys, pointers);
keepPreferences(store);
watchSaves();
watchTime();
byId("gallery-button").addEventListener("click", () =>
  document.body.classList.toggle("gallery-open"),
);
byId("panel-button").addEventListener("click", () => document.body.classList.toggle("panel-open"));
store.on(["number"], () => document.body.classList.remove("gallery-open"));
start();

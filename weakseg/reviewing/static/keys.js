/** Every key of the page in one table, which the help shows as well. */
import { isTyping } from "./dom.js";
import { TOOLS, chooseBox } from "./pen.js";

const TWO_DIGITS = 700; // ms between the digits of a class of ten or more
const WIDER = 1.25;

/**
 * @typedef {object} Key
 * @property {string} shown in the help
 * @property {string[]} keys as KeyboardEvent.key has them, letters small
 * @property {string} title
 * @property {string} group
 * @property {(event: KeyboardEvent) => void} run
 */

/** @returns {Key[]} */
export function keysOf({ store, viewport, scene, saves, pen, crosshair, actions, dialogs }) {
  const zoom = (factor) => (viewport.zoom(factor), scene.request());
  const key = (group, shown, keys, title, run) => ({ group, shown, keys, title, run });
  const arrow = (dx, dy) => (event) => {
    if (store.get("tool") === "look" || !store.get("image")) return actions.step(dx + dy);
    toCanvas();
    crosshair.move(dx, dy, event.shiftKey);
  };
  const box = (step) => {
    store.set({ tool: "box" });
    const image = store.get("image");
    const found = image && chooseBox(store, saves.pending(image.number), step);
    if (found) actions.tellBox(found, store.get("chosen"));
    else actions.tell("no boxes here");
  };
  return [
    key("Decide", "A", ["a"], "accept: the target is right", () => actions.decide("accept")),
    key("Decide", "N", ["n"], "skip: not decided yet", () => actions.decide("skip")),
    key("Decide", "X", ["x"], "exclude: not trained on", () => actions.decide("exclude")),
    key("Decide", "Ctrl Z", ["ctrl+z"], "undo", () => actions.undo()),
    key("Decide", "Ctrl Shift Z", ["ctrl+shift+z", "ctrl+y"], "redo", () => actions.redo()),
    key("Go", "J, ↓", ["j"], "next image (arrows: while looking around)", () => actions.step(1)),
    key("Go", "K, ↑", ["k"], "previous image", () => actions.step(-1)),
    key("Go", "/", ["/"], "search by name", () => actions.search()),
    ...TOOLS.map(({ name, key: letter, title }) =>
      key(
        "Draw",
        letter.toUpperCase(),
        [letter],
        title.toLowerCase(),
        () => (toCanvas(), actions.choose(name)),
      ),
    ),
    key("Draw", "T", ["t"], "tags: then digits name or unname classes", () =>
      actions.choose("tags"),
    ),
    key(
      "Draw",
      "0 … 9",
      [..."0123456789"],
      "class; two digits for more than nine",
      digits(store, actions),
    ),
    key("Draw", "[  ]", ["["], "thinner, wider brush", () => actions.widen(1 / WIDER)),
    key("", "", ["]"], "", () => actions.widen(WIDER)),
    key("Draw", ",  .", [","], "choose a box: previous, next", () => box(-1)),
    key("", "", ["."], "", () => box(1)),
    key("Draw", "Del", ["delete", "backspace"], "remove the chosen box", () => actions.removeBox()),
    key(
      "Draw",
      "Arrows",
      ["arrowright"],
      "crosshair, with a drawing tool; Shift: faster",
      arrow(1, 0),
    ),
    key("", "", ["arrowleft"], "", arrow(-1, 0)),
    key("", "", ["arrowdown"], "", arrow(0, 1)),
    key("", "", ["arrowup"], "", arrow(0, -1)),
    key("Draw", "Enter", ["enter"], "put a corner or a point; lower and lift the brush", () =>
      put(store, crosshair),
    ),
    key("Draw", "Esc", ["escape"], "give up what is begun; again: look around", () =>
      actions.giveUp(pen),
    ),
    key("See", "L", ["l"], "next layers", () => actions.cycleLayers()),
    key("See", "O", ["o"], "opacity", () => actions.cycleOpacity()),
    key("See", "U", ["u"], "areas or outlines", () =>
      store.set({ outline: !store.get("outline") }),
    ),
    key("See", "D", ["d"], "difference of target and prediction", () =>
      actions.toggleLayer("difference"),
    ),
    key("See", "+  -", ["+", "="], "zoom (wheel, pinch)", () => zoom(WIDER)),
    key("", "", ["-"], "", () => zoom(1 / WIDER)),
    key("See", "Z", ["z"], "the whole image", () => (viewport.fit(), scene.request())),
    key("See", "Space", [], "hold and drag to move (middle button, two fingers)", () => {}),
    key("See", "?", ["?"], "these keys", () => dialogs.help()),
  ];
}

/** Enter draws, and does not press the button that was used last. */
function toCanvas() {
  document.getElementById("canvas").focus({ preventScroll: true });
}

function put(store, crosshair) {
  if (store.get("image") && store.get("tool") !== "look") crosshair.put();
}

/** Digits choose a class; with ten classes or more, a second one within a moment goes on with the first. */
function digits(store, actions) {
  let before = { text: "", when: -Infinity };
  return (event) => {
    const now = performance.now();
    const goesOn = now - before.when < TWO_DIGITS && store.get("classes").length > 10;
    const both = before.text + event.key;
    const text = goesOn && Number(both) < store.get("classes").length ? both : event.key;
    before = { text, when: now };
    actions.chooseClass(Number(text));
  };
}

/** @param {Key[]} keys @param {import("./pointers.js").Pointers} pointers */
export function listen(keys, pointers) {
  const found = new Map(keys.flatMap((key) => key.keys.map((name) => [name, key])));
  addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || isTyping(event.target)) return;
    const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (event.key === " " && isPlain && !isControl(event.target)) {
      event.preventDefault();
      return pointers.holdSpace(true);
    }
    const key = found.get(nameOf(event));
    if (!key || belongsElsewhere(event)) return;
    event.preventDefault();
    key.run(event);
  });
  addEventListener("keyup", (event) => {
    if (event.key === " ") pointers.holdSpace(false);
  });
}

function nameOf(event) {
  const isCommand = event.ctrlKey || event.metaKey;
  // some layouts reach [ and ] with AltGr, which Windows says as Ctrl+Alt
  if (event.altKey && !event.getModifierState("AltGraph")) return "";
  const isLatin = event.key.length > 1 || event.key.charCodeAt(0) < 128;
  const name = isLatin ? event.key.toLowerCase() : event.code.replace(/^Key/, "").toLowerCase();
  if (!isCommand || event.getModifierState("AltGraph")) return name;
  return `ctrl+${event.shiftKey ? "shift+" : ""}${name}`;
}

const isControl = (target) =>
  target instanceof Element && target.matches("button, summary, a, input, [role=option]");

/** Enter presses a button that has the focus, and arrows belong to a slider or to the list. */
function belongsElsewhere(event) {
  const { target, key } = event;
  if (!(target instanceof Element)) return false;
  if (key === "Enter") return isControl(target);
  return key.startsWith("Arrow") && target.matches("input[type=range], [role=listbox]");
}

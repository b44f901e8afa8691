/** How a person likes the page, from one visit to the next. */
import { TOOLS } from "./pen.js";

/** What is kept, and whether what was kept can be used. */
const KEPT = {
  tool: (value) => value === "tags" || TOOLS.some(({ name }) => name === value),
  width: (value) => value >= 1 && value <= 200,
  opacity: (value) => value >= 0 && value <= 1,
  outline: (value) => typeof value === "boolean",
};
const SHARE = 50; // of the shorter side of the first image: how wide the brush is at first

/** @param {import("./store.js").Store} store */
export function keepPreferences(store) {
  for (const [name, isRight] of Object.entries(KEPT)) {
    const value = JSON.parse(remembered(name) ?? "null");
    if (value !== null && isRight(value)) store.set({ [name]: value });
    store.on(
      [name],
      () => store.get(name) !== null && remember(name, JSON.stringify(store.get(name))),
    );
  }
  store.on(["image"], () => {
    const image = store.get("image");
    if (image && store.get("width") === null) {
      store.set({ width: Math.max(1, Math.round(Math.min(image.width, image.height) / SHARE)) });
    }
  });
}

/** A browser may forbid to keep anything; then nothing is kept. */
export function remembered(name) {
  try {
    return localStorage.getItem(`weakseg-review-${name}`);
  } catch {
    return null;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(`weakseg-review-${name}`, value);
  } catch {
    // nothing is lost but a preference
  }
}

/**
 * Evidence as it will be once all that is under way is saved: what the server told, with the
 * person's unsaved events laid over it.
 */

export const STROKES = new Set(["click", "scribble", "paint", "fill", "erase"]);
const NEAR = 1; // pixels of the file, as the server compares boxes

/** A box from its upper left to its lower right corner. */
export function ordered([[x1, y1], [x2, y2]]) {
  return [
    [Math.min(x1, x2), Math.min(y1, y2)],
    [Math.max(x1, x2), Math.max(y1, y2)],
  ];
}

/**
 * @param {object} image as the server gave it
 * @param {import("./saves.js").Save[]} saves of this image
 * @returns {{class: string, points: number[][], by: string, state: string}[]}
 */
export function boxesOf(image, saves) {
  const boxes = (image.boxes ?? []).map((box) => ({
    ...box,
    points: ordered(box.points),
    state: "saved",
  }));
  for (const { event, state } of saves) {
    if (event.action === "add_box") {
      boxes.push({ class: event.class, points: ordered(event.points), by: "person", state });
    }
    if (event.action === "remove_box") {
      const place = boxes.findIndex((box) => box.class === event.class && isNear(box, event));
      if (place >= 0) boxes.splice(place, 1);
    }
  }
  return boxes;
}

function isNear(box, event) {
  const wanted = ordered(event.points).flat();
  return box.points.flat().every((edge, index) => Math.abs(edge - wanted[index]) <= NEAR);
}

/** @returns {Set<string>|null} names of the classes; null where nobody has named any */
export function tagsOf(image, saves) {
  let tags = image.tags ? new Set(image.tags) : null;
  for (const { event } of saves) {
    if (event.action === "add_tag") tags = new Set(tags ?? []).add(event.class);
    if (event.action === "remove_tag") {
      tags = new Set(tags ?? []);
      tags.delete(event.class);
    }
  }
  return tags;
}

/**
 * The box that a person points at: the one whose edge is nearest, or else the smallest around it.
 * @param {number} reach pixels of the file
 * @returns {number} its place, or -1
 */
export function boxAt(boxes, [x, y], reach) {
  let found = -1;
  let least = Infinity;
  boxes.forEach(({ points: [[left, top], [right, bottom]] }, place) => {
    const inside =
      x >= left - reach && x <= right + reach && y >= top - reach && y <= bottom + reach;
    if (!inside) return;
    const edge = Math.min(
      Math.abs(x - left),
      Math.abs(x - right),
      Math.abs(y - top),
      Math.abs(y - bottom),
    );
    const size = edge <= reach ? edge - reach : (right - left) * (bottom - top);
    if (size < least) [found, least] = [place, size];
  });
  return found;
}

/** The four corners of a box, from the upper left clockwise. */
export function cornersOf([[left, top], [right, bottom]]) {
  return [
    [left, top],
    [right, top],
    [right, bottom],
    [left, bottom],
  ];
}

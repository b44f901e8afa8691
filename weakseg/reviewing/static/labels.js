/**
 * What is drawn of pictures of labels (target, prediction, truth): the colours themselves, outlines
 * along the edges of pixels, and where two of them differ. The server paints each class in its
 * colour, the background transparent, and what is undecided in a translucent grey.
 */

/** One picture, with what is made of it when first asked for. */
export class Labels {
  #pixels = null;
  #outlines = null;

  /** @param {ImageBitmap} bitmap */
  constructor(bitmap) {
    this.bitmap = bitmap;
    this.width = bitmap.width;
    this.height = bitmap.height;
  }

  /** Red, green, blue and alpha of each pixel as one number. */
  get pixels() {
    this.#pixels ??= pixelsOf(this.bitmap);
    return this.#pixels;
  }

  /** A path along the edges of each colour, in pixels of this picture. */
  get outlines() {
    this.#outlines ??= outlinesOf(this.pixels, this.width, this.height);
    return this.#outlines;
  }
}

function pixelsOf(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return new Uint32Array(context.getImageData(0, 0, bitmap.width, bitmap.height).data.buffer);
}

const opaque = (pixel) => pixel >>> 24 === 255;
const cssOf = (pixel) => `rgb(${pixel & 255} ${(pixel >>> 8) & 255} ${(pixel >>> 16) & 255})`;

/** @returns {Map<string, Path2D>} by colour */
function outlinesOf(pixels, width, height) {
  const paths = new Map();
  const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : pixels[y * width + x]);
  const horizontal = (path, line, from, to) => (path.moveTo(from, line), path.lineTo(to, line));
  const vertical = (path, line, from, to) => (path.moveTo(line, from), path.lineTo(line, to));
  for (let y = 0; y <= height; y++) {
    edges(
      paths,
      y,
      width,
      (x) => at(x, y - 1),
      (x) => at(x, y),
      horizontal,
    );
  }
  for (let x = 0; x <= width; x++) {
    edges(
      paths,
      x,
      height,
      (y) => at(x - 1, y),
      (y) => at(x, y),
      vertical,
    );
  }
  return paths;
}

/** The edges along one line of the grid, with neighbouring ones of the same colour joined. */
function edges(paths, line, length, before, after, draw) {
  let start = 0;
  let colour = 0;
  for (let place = 0; place <= length; place++) {
    const [one, other] = place < length ? [before(place), after(place)] : [0, 0];
    const here = one === other ? 0 : opaque(other) ? other : opaque(one) ? one : 0;
    if (here === colour) continue;
    if (colour) draw(pathOf(paths, colour), line, start, place);
    start = place;
    colour = here;
  }
}

function pathOf(paths, pixel) {
  const colour = cssOf(pixel);
  if (!paths.has(colour)) paths.set(colour, new Path2D());
  return paths.get(colour);
}

const STRIPE = 3; // pixels
const BACKGROUND = 0xff_f2_f2_f2; // stands for no class where two pictures differ

/**
 * Where two pictures of labels differ: stripes of the colours of both; what is undecided in the
 * first one does not count.
 * @param {Labels} first @param {Labels} second @returns {OffscreenCanvas}
 */
export function differenceOf(first, second) {
  const { width, height } = first;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const made = context.createImageData(width, height);
  const into = new Uint32Array(made.data.buffer);
  for (let y = 0; y < height; y++) {
    const row = Math.floor((y * second.height) / height) * second.width;
    for (let x = 0; x < width; x++) {
      const one = first.pixels[y * width + x];
      const other = second.pixels[row + Math.floor((x * second.width) / width)];
      if (one === other || (one && !opaque(one))) continue;
      const shown = (x + y) % (2 * STRIPE) < STRIPE ? one : other;
      into[y * width + x] = shown || BACKGROUND;
    }
  }
  context.putImageData(made, 0, 0);
  return canvas;
}

/**
 * Where the image lies on the screen. Positions on the screen are CSS pixels from the upper left
 * corner of the canvas; positions in the image are pixel edges of its file, as events have them.
 */
const LARGEST = 64; // CSS pixels per pixel of the file
const MARGIN = 16;

export class Viewport {
  scale = 1;
  left = 0; // of the image on the screen
  top = 0;
  width = 1; // of the screen
  height = 1;
  #image = { width: 1, height: 1 };
  #fitted = true; // stays so when the window changes

  /** @param {number} width @param {number} height of the canvas */
  resize(width, height) {
    const [x, y] = this.toImage([this.width / 2, this.height / 2]);
    this.width = width;
    this.height = height;
    if (this.#fitted) return this.fit();
    this.left = width / 2 - x * this.scale;
    this.top = height / 2 - y * this.scale;
    this.#hold();
  }

  /** Show another image; one of the same size stays where it is. */
  show(width, height) {
    if (width === this.#image.width && height === this.#image.height) return;
    this.#image = { width, height };
    this.fit();
  }

  get fitting() {
    const { width, height } = this.#image;
    const [w, h] = [Math.max(1, this.width - 2 * MARGIN), Math.max(1, this.height - 2 * MARGIN)];
    return Math.min(w / width, h / height, LARGEST);
  }

  fit() {
    this.scale = this.fitting;
    this.left = (this.width - this.#image.width * this.scale) / 2;
    this.top = (this.height - this.#image.height * this.scale) / 2;
    this.#fitted = true;
  }

  toImage([x, y]) {
    return [(x - this.left) / this.scale, (y - this.top) / this.scale];
  }

  toScreen([x, y]) {
    return [x * this.scale + this.left, y * this.scale + this.top];
  }

  /** Zoom by a factor, with what is at a position of the screen staying there. */
  zoom(factor, [x, y] = [this.width / 2, this.height / 2]) {
    const least = Math.min(this.fitting, 1) / 2;
    const scale = Math.min(LARGEST, Math.max(least, this.scale * factor));
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.#fitted = false;
    this.#hold();
  }

  pan(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.#fitted = false;
    this.#hold();
  }

  /** Move so far that a position of the image can be seen. */
  reveal(point, margin = 24) {
    const [x, y] = this.toScreen(point);
    const dx = x < margin ? margin - x : Math.min(0, this.width - margin - x);
    const dy = y < margin ? margin - y : Math.min(0, this.height - margin - y);
    if (dx || dy) this.pan(dx, dy);
  }

  /** Some of the image always stays on the screen. */
  #hold() {
    const rest = 48;
    const { width, height } = this.#image;
    this.left = Math.min(this.width - rest, Math.max(rest - width * this.scale, this.left));
    this.top = Math.min(this.height - rest, Math.max(rest - height * this.scale, this.top));
  }
}

/** Tools, classes, tags and layers, beside the image. */
import { byId, el, icon, say, swatch } from "./dom.js";
import { tagsOf } from "./evidence.js";
import { TOOLS, toolNamed } from "./pen.js";

const LAYERS = [
  { name: "photo", title: "Photo" },
  { name: "evidence", title: "Evidence" },
  { name: "target", title: "Target" },
  { name: "prediction", title: "Prediction", needs: "has_prediction" },
  { name: "truth", title: "Truth", needs: "has_truth" },
  { name: "difference", title: "Target ≠ prediction", needs: "has_prediction" },
];

export class Panel {
  #opened = ""; // the image that the order of the tags belongs to
  #order = [];

  /** @param {{store, saves, actions}} parts */
  constructor({ store, saves, actions }) {
    Object.assign(this, { store, saves, actions });
    this.#makeTools();
    this.#makeLayers();
    this.#bindWidth();
    this.#bindOpacity();
    this.#bindNewClass();
    store.on(["classes", "label", "tool", "session"], () => this.#classes());
    store.on(["image", "classes", "tool"], () => this.#tags());
    saves.addEventListener("change", () => this.#tags());
  }

  #makeTools() {
    const entries = [...TOOLS, { name: "tags", key: "t", title: "Tags" }];
    const buttons = entries.map(({ name, key, title }) =>
      el(
        "button",
        {
          type: "button",
          "data-tool": name,
          title: `${title} (${key.toUpperCase()})`,
          "aria-label": title,
          onclick: () => this.actions.choose(name),
        },
        icon(name),
        el("kbd", { text: key.toUpperCase(), "aria-hidden": "true" }),
      ),
    );
    byId("tools").append(...buttons);
    this.store.on(["tool"], () => {
      for (const button of buttons) {
        button.setAttribute("aria-pressed", String(button.dataset.tool === this.store.get("tool")));
      }
    });
  }

  #makeLayers() {
    const rows = LAYERS.map(({ name, title }) => {
      const box = el("input", { type: "checkbox", onchange: () => this.actions.toggleLayer(name) });
      return {
        name,
        box,
        row: el("label", { class: "layer", "data-layer": name }, box, el("span", { text: title })),
      };
    });
    byId("layers").append(...rows.map(({ row }) => row));
    this.store.on(["layers", "session"], () => {
      const session = this.store.get("session");
      for (const { name, box, row } of rows) {
        const { needs } = LAYERS.find((layer) => layer.name === name);
        row.hidden = Boolean(needs && session && !session[needs]);
        box.checked = this.store.get("layers")[name];
      }
    });
  }

  #bindWidth() {
    const slider = byId("width");
    slider.addEventListener("input", () => this.actions.setWidth(Number(slider.value)));
    this.store.on(["width", "tool"], () => {
      const width = this.store.get("width") ?? 1;
      slider.value = String(width);
      say(byId("width-value"), `${width} px`);
      const hasWidth = Boolean(toolNamed(this.store.get("tool"))?.width);
      byId("width-row").classList.toggle("off", !hasWidth);
      this.store.set({ ring: hasWidth });
    });
  }

  #bindOpacity() {
    const slider = byId("opacity");
    slider.addEventListener("input", () => this.store.set({ opacity: Number(slider.value) / 100 }));
    byId("outline").addEventListener("change", (event) =>
      this.store.set({ outline: event.target.checked }),
    );
    this.store.on(["opacity", "outline"], () => {
      slider.value = String(Math.round(this.store.get("opacity") * 100));
      byId("outline").checked = this.store.get("outline");
      slider.disabled = this.store.get("outline");
    });
  }

  // classes ------------------------------------------------------------------------------------------

  #classes() {
    const { store } = this;
    const label = store.get("label");
    const rows = store.get("classes").map((one) => {
      const button = el(
        "button",
        {
          type: "button",
          class: "class",
          role: "radio",
          title: one.name,
          "aria-checked": String(one.number === label?.number),
          onclick: () => store.set({ label: one }),
        },
        swatch(one.colour),
        el("span", { class: "name", text: one.name }),
      );
      if (one.number < 100)
        button.append(el("kbd", { text: String(one.number), "aria-hidden": "true" }));
      return button;
    });
    keepFocus(byId("classes"), rows);
    byId("new-class").hidden = !store.get("session")?.can_add_classes;
    const hasObjects = store.get("classes").length > 1;
    byId("no-classes").hidden = hasObjects || !store.get("session")?.can_add_classes;
  }

  #bindNewClass() {
    const form = byId("new-class");
    const field = byId("new-class-name");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const name = field.value.trim();
      if (name && (await this.actions.addClass(name))) {
        field.value = "";
        field.blur();
      }
    });
    field.addEventListener("keydown", (event) => event.key === "Escape" && field.blur());
  }

  // tags ----------------------------------------------------------------------------------------------

  #tags() {
    const { store, saves } = this;
    const image = store.get("image");
    const tags = image ? tagsOf(image, saves.pending(image.number)) : null;
    const chips = this.#inOrder(image, tags).map(({ name, number, colour }) => {
      const has = tags?.has(name) ?? false;
      const toggle = () => this.actions.toggleTag(name);
      const chip = el(
        "button",
        {
          type: "button",
          class: "chip",
          "aria-pressed": String(has),
          title: name,
          onclick: toggle,
        },
        swatch(colour),
        el("span", { text: name }),
      );
      if (store.get("tool") === "tags") chip.append(el("kbd", { text: String(number) }));
      return chip;
    });
    keepFocus(byId("tags"), chips);
    byId("tags-title").classList.toggle("active", store.get("tool") === "tags");
    byId("tags-none").hidden = tags !== null || !image;
  }

  /** Classes that the image had when it was opened come first; none moves while it is looked at. */
  #inOrder(image, tags) {
    const opened = `${image?.number} ${this.store.get("classes").length}`;
    if (this.#opened !== opened) {
      const classes = this.store.get("classes").filter(({ number }) => number !== 0);
      const has = ({ name }) => Number(tags?.has(name) ?? false);
      this.#order = classes.sort(
        (one, other) => has(other) - has(one) || one.number - other.number,
      );
      this.#opened = image ? opened : "";
    }
    return this.#order;
  }
}

/** Put new children in, with the focus on the one at the same place as before. */
function keepFocus(parent, children) {
  const before = [...parent.children].indexOf(document.activeElement);
  parent.replaceChildren(...children);
  if (before >= 0) children[before]?.focus();
}

/**
 * The list of images, most suspicious first. Only the rows that can be seen are in the document:
 * five thousand images scroll as lightly as fifty.
 */
import { byId, el, icon, say } from "./dom.js";

const HEIGHT = 68; // CSS pixels of a row, as page.css has it
const AROUND = 4; // rows above and below that are kept ready
const SETTLED = 90; // ms that a row is there before its thumbnail is asked for: those that fly by are not
const STATUS = { accepted: "check", skipped: "dash", excluded: "cross" };

export const FILTERS = {
  all: { title: "All", has: () => true },
  open: { title: "Open", has: (row) => !row.status },
  accepted: { title: "Accepted", has: (row) => row.status === "accepted" },
  skipped: { title: "Skipped", has: (row) => row.status === "skipped" },
  excluded: { title: "Excluded", has: (row) => row.status === "excluded" },
  edited: { title: "Edited", has: (row) => row.edits > 0 },
};

export class Gallery {
  #rows = new Map(); // place in the list -> element
  #seen = new Set(); // numbers of images whose thumbnail the browser has
  #shown = [];

  /** @param {{store, actions}} parts */
  constructor({ store, actions }) {
    this.store = store;
    this.actions = actions;
    this.list = byId("gallery");
    this.sheet = byId("gallery-rows");
    this.list.addEventListener("scroll", () => this.#fill(), { passive: true });
    this.list.addEventListener("keydown", (event) => this.#key(event));
    this.list.addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) actions.open(Number(row.dataset.number));
    });
    new ResizeObserver(() => this.#fill()).observe(this.list);
    byId("search").addEventListener("input", (event) => store.set({ search: event.target.value }));
    this.#makeFilters();
    store.on(["queue", "filter", "search"], () => this.#refresh());
    store.on(["number"], () => this.#follow());
    store.on(["working"], () => {
      byId("working").hidden = !store.get("working");
      say(byId("working-text"), store.get("working"));
    });
  }

  /** The images that go with filter and search, in their order. */
  get shown() {
    return this.#shown;
  }

  #makeFilters() {
    const buttons = Object.entries(FILTERS).map(([name, { title }]) => {
      const choose = () => this.store.set({ filter: name });
      return el(
        "button",
        { "data-filter": name, type: "button", onclick: choose },
        title,
        " ",
        el("b", { text: "0" }),
      );
    });
    byId("filters").append(...buttons);
  }

  #refresh() {
    const { store } = this;
    const words = store.get("search").toLowerCase();
    const queue = store.get("queue");
    const { has } = FILTERS[store.get("filter")];
    this.#shown = queue.filter((row) => has(row) && row.name.toLowerCase().includes(words));
    for (const button of byId("filters").children) {
      const { filter } = button.dataset;
      button.setAttribute("aria-pressed", String(filter === store.get("filter")));
      say(button.querySelector("b"), String(queue.filter(FILTERS[filter].has).length));
    }
    this.sheet.style.height = `${this.#shown.length * HEIGHT}px`;
    byId("gallery-empty").hidden = this.#shown.length > 0 || !queue.length;
    for (const [place, row] of [...this.#rows]) {
      if (row.image !== this.#shown[place]) this.#drop(place);
    }
    this.#fill();
  }

  /** Keep the image that is shown in view. */
  #follow() {
    const place = this.#shown.findIndex((row) => row.number === this.store.get("number"));
    if (place >= 0) {
      const top = place * HEIGHT;
      const { scrollTop, clientHeight } = this.list;
      const isSeen = top >= scrollTop && top + HEIGHT <= scrollTop + clientHeight;
      if (!isSeen) this.list.scrollTop = top - (clientHeight - HEIGHT) / 2;
    }
    this.#fill();
  }

  #fill() {
    const first = Math.max(0, Math.floor(this.list.scrollTop / HEIGHT) - AROUND);
    const last = Math.min(
      this.#shown.length,
      Math.ceil((this.list.scrollTop + this.list.clientHeight) / HEIGHT) + AROUND,
    );
    for (const place of [...this.#rows.keys()]) {
      if (place < first || place >= last) this.#drop(place);
    }
    for (let place = first; place < last; place++) {
      if (!this.#rows.has(place)) this.#rows.set(place, this.sheet.appendChild(this.#row(place)));
    }
    this.#mark();
  }

  #drop(place) {
    const row = this.#rows.get(place);
    clearTimeout(row.settling);
    row.querySelector("img").removeAttribute("src"); // calls off what is still on its way
    row.remove();
    this.#rows.delete(place);
  }

  #mark() {
    const number = this.store.get("number");
    let active = "";
    for (const row of this.#rows.values()) {
      const isChosen = Number(row.dataset.number) === number;
      row.setAttribute("aria-selected", String(isChosen));
      if (isChosen) active = row.id;
    }
    if (active) this.list.setAttribute("aria-activedescendant", active);
    else this.list.removeAttribute("aria-activedescendant");
  }

  #row(place) {
    const image = this.#shown[place];
    const picture = el("img", { alt: "", width: 72, height: 54, draggable: "false" });
    picture.addEventListener("error", () => picture.classList.add("missing"));
    const row = el(
      "div",
      {
        role: "option",
        class: "row",
        id: `image-${image.number}`,
        "data-number": image.number,
        "aria-posinset": place + 1,
        "aria-setsize": this.#shown.length,
        title: [image.name, image.broken, ...image.reasons].filter(Boolean).join("\n"),
      },
      el("span", { class: "thumbnail" }, picture),
      el(
        "span",
        { class: "about" },
        el("span", { class: "name", text: image.name }),
        scoreBar(image),
        el("span", {
          class: image.broken ? "reasons broken" : "reasons",
          text: image.broken ?? image.reasons.join(" · "),
        }),
      ),
      statusMark(image),
    );
    row.image = image;
    row.style.transform = `translateY(${place * HEIGHT}px)`;
    picture.addEventListener("load", () => this.#seen.add(image.number));
    const address = image.thumbnail ?? `/images/${image.number}/thumbnail`;
    const load = () => picture.setAttribute("src", address);
    if (this.#seen.has(image.number)) load();
    else if (!image.broken) row.settling = setTimeout(load, SETTLED);
    return row;
  }

  #key(event) {
    const page = Math.max(1, Math.floor(this.list.clientHeight / HEIGHT) - 1);
    const ends = { Home: -Infinity, End: Infinity };
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, ...ends };
    if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.actions.step(steps[event.key]);
  }
}

/** How suspicious an image is, as a quiet bar. */
function scoreBar({ score }) {
  const bar = el("span", { class: "score", "aria-hidden": "true" }, el("i"));
  if (score === null || score === undefined) bar.hidden = true;
  else bar.firstChild.style.width = `${Math.round(score * 100)}%`;
  return bar;
}

/** By shape and colour, and in words for whoever sees neither. */
function statusMark({ status, edits }) {
  const mark = el("span", { class: "status" });
  if (edits)
    mark.append(el("span", { class: "mark edited" }, icon("pencil"), hidden(`${edits} edits`)));
  if (status)
    mark.append(el("span", { class: `mark ${status}` }, icon(STATUS[status]), hidden(status)));
  return mark;
}

const hidden = (text) => el("span", { class: "hidden", text });

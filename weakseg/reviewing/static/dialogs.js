/** The overlays: keys, and how to train again. The browser keeps the focus in them, Esc closes. */
import { byId, el, say } from "./dom.js";
import { remember, remembered } from "./preferences.js";

export class Dialogs {
  /** @param {{store, notices}} parts */
  constructor({ store, notices }) {
    Object.assign(this, { store, notices });
    for (const dialog of document.querySelectorAll("dialog")) {
      dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    }
    byId("help-button").addEventListener("click", () => this.help());
    for (const id of ["train-button", "train-narrow"])
      byId(id).addEventListener("click", () => this.train());
    byId("copy").addEventListener("click", () => this.#copy());
    byId("hint-close").addEventListener("click", () => this.#closeHint());
    byId("canvas").addEventListener("pointerdown", () => (byId("hint").hidden = true)); // it covers what is drawn on
    byId("hint").hidden = remembered("hint-seen") === "yes";
    store.on(["session"], () => this.#hint());
  }

  /** @param {import("./keys.js").Key[]} keys */
  list(keys) {
    const groups = new Map();
    for (const { group, shown, title } of keys) {
      if (!shown) continue;
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push(el("dt", {}, el("kbd", { text: shown })), el("dd", { text: title }));
    }
    const sections = [...groups].map(([group, rows]) =>
      el("section", {}, el("h3", { text: group }), el("dl", {}, ...rows)),
    );
    byId("help-keys").replaceChildren(...sections);
  }

  help() {
    byId("help").showModal();
  }

  /** @param {string} first a line above the command */
  train(first = "") {
    const session = this.store.get("session");
    if (!session) return;
    say(byId("train-first"), first);
    say(byId("train-command"), session.train_command);
    say(byId("train-folder"), session.corrections);
    byId("remarks").replaceChildren(...session.remarks.map((text) => el("li", { text })));
    if (!byId("train").open) byId("train").showModal();
  }

  async #copy() {
    const text = byId("train-command").textContent;
    try {
      await navigator.clipboard.writeText(text);
      say(byId("copy"), "Copied");
    } catch {
      getSelection().selectAllChildren(byId("train-command")); // the person copies it
      say(byId("copy"), "Selected: press Ctrl C");
    }
    setTimeout(() => say(byId("copy"), "Copy"), 2000);
  }

  /** Where there was no class at the start, there is nothing that could be wrong. */
  #hint() {
    const session = this.store.get("session");
    if (!session || this.hinted) return;
    this.hinted = true;
    const isFirst = session.classes.length === 1;
    byId("hint-first").hidden = !isFirst;
    byId("hint-wrong").hidden = isFirst;
  }

  #closeHint() {
    byId("hint").hidden = true;
    remember("hint-seen", "yes");
  }
}

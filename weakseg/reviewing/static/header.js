/** The line at the top: how far the queue is, whether everything is saved, how long it took. */
import { byId, el, say } from "./dom.js";
import { FILTERS } from "./gallery.js";

export class Header {
  /** @param {{store, saves, timer, notices}} parts */
  constructor(parts) {
    Object.assign(this, parts);
    this.store.on(["session"], () => this.#session());
    this.store.on(["queue"], () => this.#progress());
    this.saves.addEventListener("change", () => this.#saving());
    byId("retry").addEventListener("click", () => this.saves.retry());
    byId("strategy").addEventListener("change", (event) =>
      this.store.set({ strategy: event.target.value }),
    );
    this.store.on(["strategy"], () => (byId("strategy").value = this.store.get("strategy") ?? ""));
    setInterval(() => this.#tick(), 1000);
    this.#saving();
  }

  #session() {
    const session = this.store.get("session");
    if (!session) return;
    say(byId("title"), session.title);
    for (const id of ["train-button", "train-narrow", "train-title"]) {
      say(byId(id), session.has_prediction ? "Train again" : "Train");
    }
    document.title = `${session.title} - review`;
    const options = session.strategies.map(({ name, title, needs }) => {
      const what = needs?.length ? `${title ?? name} (needs ${needs.join(", ")})` : (title ?? name);
      return el("option", { value: name, text: name, title: what });
    });
    byId("strategy").replaceChildren(...options);
    byId("strategy").value = this.store.get("strategy") ?? "";
  }

  #progress() {
    const queue = this.store.get("queue");
    const count = (name) => queue.filter(FILTERS[name].has).length;
    const decided = queue.length - count("open");
    for (const name of ["accepted", "skipped", "excluded"]) {
      byId(`progress-${name}`).style.width = `${(100 * count(name)) / Math.max(1, queue.length)}%`;
    }
    say(byId("progress-text"), `${decided} of ${queue.length}`);
    byId("progress").setAttribute("aria-valuenow", String(decided));
    byId("progress").setAttribute("aria-valuemax", String(queue.length));
  }

  #saving() {
    const { saves } = this;
    const held = saves.pending().filter((save) => save.state === "held").length;
    const open = saves.pending().length - held;
    const state = saves.trouble ? "trouble" : held ? "held" : open ? "saving" : "saved";
    const words = {
      trouble: `not saved${this.#wait()}`,
      held: `${held} not saved`,
      saving: "saving …",
      saved: "saved",
    };
    byId("saving").dataset.state = state;
    say(byId("saving-text"), words[state]);
    byId("retry").hidden = state !== "trouble";
    if (state === "trouble") this.#explain(saves.trouble);
    else this.notices.clear("trouble");
  }

  #explain(reason) {
    const line = `${reason[0].toUpperCase()}${reason.slice(1)}. What you did is kept here and tried again: leave this page open.`;
    this.notices.show("trouble", line, { kind: "warn" });
  }

  #wait() {
    const rest = Math.max(0, Math.ceil((this.saves.retryAt - performance.now()) / 1000));
    return rest ? `, again in ${rest} s` : "";
  }

  #tick() {
    if (this.saves.trouble) this.#saving(); // counts down
    const image = this.store.get("image");
    const seconds = (image?.seconds ?? 0) + this.timer.seconds;
    say(byId("seconds"), image ? clock(seconds) : "");
  }
}

/** 75 as 1:15. */
function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

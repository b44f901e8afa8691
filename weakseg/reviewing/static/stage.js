/** The image and the lines around it: its name, why it is suspicious, what is estimated right now. */
import { byId, icon, say } from "./dom.js";
import { isBare } from "./pictures.js";

const STATUS_ICON = { accepted: "check", skipped: "dash", excluded: "cross" };
const QUICK = 150; // ms: an estimate that is faster is not worth a mark

export class Stage {
  #estimating = 0;

  /** @param {{store, viewport, scene, layers, saves, pictures, actions, notices}} parts */
  constructor(parts) {
    Object.assign(this, parts);
    this.canvas = byId("canvas");
    this.#watchSize();
    this.store.on(["image", "problem", "number", "queue"], () => this.#about());
    this.store.on(["image"], () => this.#fit());
    this.store.on(
      [
        "image",
        "layers",
        "opacity",
        "outline",
        "draft",
        "pointer",
        "crosshair",
        "chosen",
        "width",
        "ring",
        "tool",
        "colours",
      ],
      () => this.scene.request(),
    );
    this.store.on(["latency"], () => this.#latency());
    this.store.on(["tool"], () => (this.canvas.dataset.tool = this.store.get("tool")));
    this.saves.addEventListener(
      "change",
      () => (this.scene.request(), this.#estimate(), this.#buttons()),
    );
    this.pictures.addEventListener(
      "change",
      () => (this.scene.request(), this.#estimate(), this.#problems()),
    );
    for (const button of document.querySelectorAll("[data-verdict]")) {
      button.addEventListener("click", () => this.actions.decide(button.dataset.verdict));
    }
    byId("undo").addEventListener("click", () => this.actions.undo());
    byId("redo").addEventListener("click", () => this.actions.redo());
  }

  /** As many pixels in the canvas as the screen has there, also where a CSS pixel is 1.5 of them. */
  #watchSize() {
    const observer = new ResizeObserver(([entry]) => {
      const { width, height } = entry.contentRect;
      const exact = entry.devicePixelContentBoxSize?.[0];
      const ratio = devicePixelRatio;
      const [w, h] = exact
        ? [exact.inlineSize, exact.blockSize]
        : [Math.round(width * ratio), Math.round(height * ratio)];
      this.viewport.resize(width, height);
      this.scene.resize(Math.max(1, w), Math.max(1, h), w / Math.max(1, width));
    });
    try {
      observer.observe(this.canvas, { box: "device-pixel-content-box" });
    } catch {
      observer.observe(this.canvas);
    }
  }

  #fit() {
    const image = this.store.get("image");
    if (image) this.viewport.show(image.width, image.height);
  }

  #about() {
    const { store } = this;
    const image = store.get("image");
    const row = store.get("queue").find((one) => one.number === store.get("number"));
    const reasons = image?.reasons ?? row?.reasons ?? [];
    say(byId("name"), image?.name ?? row?.name ?? "");
    const isEmpty = image && isBare(image, store.get("session"));
    say(byId("reasons"), isEmpty ? "nothing is annotated here yet" : reasons.join(" · "));
    const mark = byId("verdict");
    const status = image?.status ?? null;
    mark.hidden = !status;
    if (status && mark.dataset.status !== status)
      mark.replaceChildren(icon(STATUS_ICON[status]), document.createTextNode(status));
    mark.dataset.status = status ?? "";
    const problem = store.get("problem") || (row?.broken ?? "");
    if (problem && !image)
      this.notices.show("image", `This image cannot be shown: ${problem}`, { kind: "error" });
    else if (problem) this.notices.show("image", problem, { kind: "error" });
    else if (image?.warning) this.notices.show("image", image.warning, { kind: "warn" });
    else this.notices.clear("image");
    this.canvas.setAttribute(
      "aria-label",
      image ? `image ${image.name}, ${image.width} by ${image.height} pixels` : "no image",
    );
    this.#buttons();
  }

  #buttons() {
    const image = this.store.get("image");
    const waiting = image ? this.saves.pending(image.number).length > 0 : false;
    for (const button of document.querySelectorAll("[data-verdict]")) button.disabled = !image;
    byId("undo").disabled = !(image?.can_undo || waiting || this.actions.decided !== null);
    byId("redo").disabled = !image?.can_redo || waiting;
    byId("undo").title = image?.undo
      ? `Undo ${image.undo.replace("_", " ")} (Ctrl Z)`
      : "Undo (Ctrl Z)";
    byId("redo").title = image?.redo
      ? `Redo ${image.redo.replace("_", " ")} (Ctrl Shift Z)`
      : "Redo (Ctrl Shift Z)";
  }

  #estimate() {
    const isEstimating = this.layers.isLoading("target");
    clearTimeout(this.#estimating);
    if (!isEstimating) byId("estimating").hidden = true;
    else this.#estimating = setTimeout(() => (byId("estimating").hidden = false), QUICK);
  }

  #latency() {
    const latency = this.store.get("latency");
    if (!latency) return;
    say(byId("latency"), `${latency} ms`);
    byId("latency").title = `from the end of the stroke to the new target: ${latency} ms`;
  }

  /** What of the pictures could not be had. */
  #problems() {
    const warning = this.store.get("image")?.warning;
    for (const kind of ["photo", "target", "prediction"]) {
      const error = this.layers.error(kind);
      const isSaid = warning && error?.message.includes(warning);
      if (!error || isSaid) this.notices.clear(kind);
      else if (kind === "target")
        this.notices.show(kind, `No target: ${error.message}`, {
          kind: error.passing ? "warn" : "error",
        });
      else
        this.notices.show(kind, `The ${kind} cannot be shown: ${error.message}`, { kind: "error" });
    }
  }
}

/** Where a sample comes from: drawn by pointer or keys, or one of the model's own images. */
import type { Input, Samples } from "../client/index.js";
import { byId } from "./page.js";

const PEN = 18;
const STEP = 8;
const HOW_TO_DRAW = "Drawing area: draw with the pointer, or move with the arrow keys while holding Space to draw";
/** Side of the box that a drawn digit is scaled into, and of the image, in the data set that digits come from (MNIST). */
const BOX = 20 / 28;

export class Pad {
  readonly #canvas = byId<HTMLCanvasElement>("pad");
  readonly #mark = byId("pen");
  readonly #context = this.#canvas.getContext("2d", { willReadFrequently: true }) as CanvasRenderingContext2D;
  #input: Input | undefined;
  #samples: Samples = { inputs: [], labels: [] };
  #next = 0;
  #shown: readonly number[] | undefined;
  #pen: { x: number; y: number } | undefined;
  #draws = false;

  /** `onChange` is called with every new sample. */
  constructor(private readonly onChange: () => void) {
    this.#canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    this.#canvas.addEventListener("pointermove", (event) => this.#move(event));
    this.#canvas.addEventListener("pointerup", () => this.#end());
    this.#canvas.addEventListener("pointercancel", () => this.#end());
    this.#canvas.addEventListener("keydown", (event) => this.#onKey(event));
    this.#canvas.addEventListener("keyup", (event) => {
      if (event.key === " ") this.#draws = false;
    });
    this.#canvas.addEventListener("focus", () => this.#showPen());
    // A key that is let go elsewhere is not heard.
    this.#canvas.addEventListener("blur", () => (this.#draws = false));
    byId("clear").addEventListener("click", () => this.clear());
    byId("next-sample").addEventListener("click", () => this.nextSample());
  }

  /** Take another model's input; false when it is no image that can be shown. */
  offer(input: Input, samples: Samples): boolean {
    this.#input = input;
    this.#samples = samples;
    this.#next = 0;
    byId("next-sample").hidden = samples.inputs.length === 0;
    byId("clear").hidden = !this.#drawable;
    this.#canvas.setAttribute("aria-label", this.#drawable ? HOW_TO_DRAW : "One of the model's own images");
    this.#canvas.tabIndex = this.#drawable ? 0 : -1;
    this.#canvas.style.touchAction = this.#drawable ? "none" : "auto";
    this.clear();
    if (samples.inputs.length > 0) this.nextSample();
    return [1, 3].includes(input.shape[0] ?? 0) && input.shape.length === 3 && input.layout === "NCHW";
  }

  clear(): void {
    this.#shown = undefined;
    this.#pen = undefined;
    this.#context.fillStyle = "black";
    this.#context.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
    this.onChange();
  }

  nextSample(): void {
    this.#shown = this.#samples.inputs[this.#next % this.#samples.inputs.length];
    this.#next += 1;
    if (this.#shown !== undefined && this.#input !== undefined) paint(this.#context, this.#shown, this.#input);
    this.onChange();
  }

  /** Raw values of the sample, in the model's layout; undefined while nothing is drawn. */
  get pixels(): readonly number[] | undefined {
    if (this.#shown !== undefined) return this.#shown;
    return this.#input !== undefined && this.#drawable ? drawn(this.#context, this.#input) : undefined;
  }

  get #drawable(): boolean {
    return this.#input?.shape[0] === 1;
  }

  #begin(event: PointerEvent): void {
    if (!this.#drawable) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#startDrawing();
    this.#draws = true;
    this.#pen = this.#positionOf(event);
    this.#lineTo(this.#pen);
  }

  #move(event: PointerEvent): void {
    if (this.#draws && event.buttons !== 0) this.#lineTo(this.#positionOf(event));
  }

  #end(): void {
    this.#draws = false;
    this.#pen = undefined;
    this.onChange();
  }

  #onKey(event: KeyboardEvent): void {
    const step = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    if (!this.#drawable || (step === undefined && event.key !== " ")) return;
    event.preventDefault();
    if (event.key === " " && !event.repeat) {
      this.#startDrawing();
      this.#draws = true;
    }
    const from = this.#place;
    const [dx = 0, dy = 0] = step ?? [];
    const inside = (value: number, size: number) => Math.min(Math.max(value, PEN), size - PEN);
    const to = { x: inside(from.x + dx, this.#canvas.width), y: inside(from.y + dy, this.#canvas.height) };
    this.#pen = from;
    if (this.#draws) {
      this.#lineTo(to);
      this.onChange();
    }
    this.#pen = to;
    this.#showPen();
  }

  /** Where the keys draw on. */
  get #place(): { x: number; y: number } {
    return this.#pen ?? { x: this.#canvas.width / 2, y: this.#canvas.height / 4 };
  }

  /** Mark where the keys draw on; over the drawing and not in it. */
  #showPen(): void {
    const { x, y } = this.#place;
    Object.assign(this.#mark.style, { left: `${(100 * x) / this.#canvas.width}%`, top: `${(100 * y) / this.#canvas.height}%` });
  }

  /** What was shown gives way to the first stroke. */
  #startDrawing(): void {
    if (this.#shown !== undefined) this.clear();
  }

  #lineTo(to: { x: number; y: number }): void {
    const from = this.#pen ?? to;
    Object.assign(this.#context, { strokeStyle: "white", lineWidth: PEN, lineCap: "round", lineJoin: "round" });
    this.#context.beginPath();
    this.#context.moveTo(from.x, from.y);
    this.#context.lineTo(to.x, to.y);
    this.#context.stroke();
    this.#pen = to;
  }

  #positionOf(event: PointerEvent): { x: number; y: number } {
    const box = this.#canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) * this.#canvas.width) / box.width, y: ((event.clientY - box.top) * this.#canvas.height) / box.height };
  }
}

/** A drawing as the data set has its digits: scaled into a box in the middle, centred by its mass. */
function drawn(context: CanvasRenderingContext2D, input: Input): number[] | undefined {
  const [, height = 0, width = 0] = input.shape;
  const box = inked(context);
  if (box === undefined) return undefined;
  const scale = (BOX * width) / Math.max(box.width, box.height);
  const small = new OffscreenCanvas(width, height).getContext("2d") as OffscreenCanvasRenderingContext2D;
  small.imageSmoothingQuality = "high";
  small.fillStyle = "black";
  small.fillRect(0, 0, width, height);
  const left = width / 2 - scale * (box.x - box.left);
  const top = height / 2 - scale * (box.y - box.top);
  small.drawImage(context.canvas, box.left, box.top, box.width, box.height, left, top, scale * box.width, scale * box.height);
  const { data } = small.getImageData(0, 0, width, height);
  const range = 1 / (255 * input.scale);
  return Array.from({ length: width * height }, (_, index) => (data[4 * index] ?? 0) * range);
}

interface Ink {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** Centre of mass. */
  readonly x: number;
  readonly y: number;
}

function inked(context: CanvasRenderingContext2D): Ink | undefined {
  const { width, height } = context.canvas;
  const { data } = context.getImageData(0, 0, width, height);
  let [left, top, right, bottom, mass, x, y] = [width, height, -1, -1, 0, 0, 0];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const value = data[4 * (row * width + column)] ?? 0;
      if (value === 0) continue;
      [left, right, top, bottom] = [Math.min(left, column), Math.max(right, column), Math.min(top, row), Math.max(bottom, row)];
      [mass, x, y] = [mass + value, x + value * column, y + value * row];
    }
  }
  return mass === 0 ? undefined : { left, top, width: right - left + 1, height: bottom - top + 1, x: x / mass, y: y / mass };
}

/** Show raw values as an image. */
function paint(context: CanvasRenderingContext2D, values: readonly number[], { shape, scale }: Input): void {
  const [channels = 1, height = 1, width = 1] = shape;
  const image = new ImageData(width, height);
  for (let index = 0; index < width * height; index++) {
    for (let color = 0; color < 3; color++) {
      image.data[4 * index + color] = 255 * scale * (values[Math.min(color, channels - 1) * width * height + index] ?? 0);
    }
    image.data[4 * index + 3] = 255;
  }
  const small = new OffscreenCanvas(width, height);
  (small.getContext("2d") as OffscreenCanvasRenderingContext2D).putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, context.canvas.width, context.canvas.height);
}

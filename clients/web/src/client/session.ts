import type { InferenceSession } from "onnxruntime-web";
import type { Artifact } from "./client.js";
import { Unsupported } from "./errors.js";
import type { Input } from "./types.js";

/** A network that runs here, fed with raw pixels. */
export interface Session {
  /** One output vector (for a classifier: the logits) for one sample of raw values in the manifest's layout. */
  run(pixels: ArrayLike<number>): Promise<Float32Array>;
  release(): Promise<void>;
}

/** onnxruntime-web, or one of its smaller builds. */
export type Runtime = Pick<typeof import("onnxruntime-web"), "InferenceSession" | "Tensor">;

export interface SessionOptions {
  /** The build to run with, for example all of `onnxruntime-web` for WebGPU; `onnxruntime-web/wasm` when not given. */
  readonly runtime?: Runtime;
  /** Handed to the runtime as they are. */
  readonly options?: InferenceSession.SessionOptions;
}

/** A session of onnxruntime-web, which the page has to install. Throws `Unsupported` when it is not. */
export async function createSession(artifact: Artifact, { runtime, options = {} }: SessionOptions = {}): Promise<Session> {
  const ort = runtime ?? (await installedRuntime());
  // A copy: the runtime may take the buffer for itself.
  const session = await ort.InferenceSession.create(new Uint8Array(artifact.data.slice(0)), options);
  const { input, output } = artifact.manifest;
  return {
    async run(pixels) {
      const tensor = new ort.Tensor("float32", prepared(pixels, input), [1, ...input.shape]);
      const results = await session.run({ [input.name]: tensor });
      return (results[output.name] as { data: Float32Array }).data;
    },
    release: () => session.release(),
  };
}

async function installedRuntime(): Promise<Runtime> {
  try {
    return await import("onnxruntime-web/wasm");
  } catch (error) {
    throw new Unsupported("onnxruntime-web is not installed: npm install onnxruntime-web.", { cause: error });
  }
}

/** `(pixel * scale - mean) / std` for one sample in layout NCHW or NC. Throws RangeError when its length does not fit. */
export function prepared(pixels: ArrayLike<number>, input: Input): Float32Array {
  const size = input.shape.reduce((product, extent) => product * extent, 1);
  if (pixels.length !== size) throw new RangeError(`A sample has ${size} values (${input.shape.join(" x ")}); got ${pixels.length}.`);
  const inChannel = size / (input.shape[0] ?? 1);
  return Float32Array.from(pixels, (pixel, index) => {
    const channel = input.mean.length === 1 ? 0 : Math.floor(index / inChannel);
    return (pixel * input.scale - (input.mean[channel] ?? 0)) / (input.std[channel] ?? 1);
  });
}

/** Probabilities of logits. */
export function softmax(logits: ArrayLike<number>): Float32Array {
  const values = Array.from(logits);
  const largest = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return Float32Array.from(powers, (power) => power / sum);
}

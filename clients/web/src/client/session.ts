import type { Artifact } from "./client.js";
import { RuntimeFailed } from "./errors.js";
import type { Input } from "./types.js";

/** A network that runs here, fed with raw pixels. */
export interface Session {
  /** One output vector (for a classifier: the logits) for one sample of raw values in the manifest's layout. */
  run(pixels: ArrayLike<number>): Promise<Float32Array>;
  release(): Promise<void>;
}

/** As much of onnxruntime-web, or of one of its smaller builds, as is used. Not its own types: they are absent where it is not installed. */
export interface Runtime {
  readonly InferenceSession: { create(model: Uint8Array, options?: object): Promise<RuntimeSession> };
  readonly Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => object;
}

export interface RuntimeSession {
  run(feeds: Readonly<Record<string, object>>): Promise<Readonly<Record<string, object>>>;
  release(): Promise<void>;
}

export interface SessionOptions {
  /** The build to run with, for example all of `onnxruntime-web` for WebGPU; `onnxruntime-web/wasm` when not given. */
  readonly runtime?: Runtime;
  /** `InferenceSession.SessionOptions`, handed to the runtime as they are. */
  readonly options?: object;
}

/** A session of onnxruntime-web, which the page has to install. Throws `RuntimeFailed` when that cannot be loaded or refuses the network. */
export async function createSession(artifact: Artifact, { runtime, options = {} }: SessionOptions = {}): Promise<Session> {
  const ort = runtime ?? (await installedRuntime());
  const session = await started(ort, artifact, options);
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
    const expected = "expected it to be installed (npm install onnxruntime-web), and its files to be served with the page";
    throw new RuntimeFailed(`onnxruntime-web could not be loaded; ${expected}.`, { cause: error });
  }
}

async function started({ InferenceSession }: Runtime, { data, manifest }: Artifact, options: object): Promise<RuntimeSession> {
  try {
    // A copy: the runtime may take the buffer for itself.
    return await InferenceSession.create(new Uint8Array(data.slice(0)), options);
  } catch (error) {
    throw new RuntimeFailed(`onnxruntime-web could not start, or not load ${manifest.filename}. ${String(error)}`, { cause: error });
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
  // Not Math.max(...values): an engine takes only so many arguments.
  const largest = values.reduce((most, value) => Math.max(most, value), -Infinity);
  const powers = values.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return Float32Array.from(powers, (power) => power / sum);
}

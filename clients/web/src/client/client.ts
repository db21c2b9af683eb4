import { type ArtifactCache, StorageCache } from "./cache.js";
import { digestOf } from "./digest.js";
import { ArtifactGone, ConnectionFailed, errorOf, IntegrityError, UnexpectedAnswer } from "./errors.js";
import type { Curve, Manifest, Model, ModelSummary, Plan, Samples, Selection } from "./types.js";

const DIGEST = /^sha256:[0-9a-f]{64}$/;

export interface ClientOptions {
  /** API key, sent as a bearer token. */
  readonly token?: string;
  /** Where artifacts are kept; null keeps none. The browser's Cache Storage when not given. */
  readonly cache?: ArtifactCache | null;
}

export interface PullOptions {
  readonly signal?: AbortSignal;
  /** Called with the bytes that have come so far and those that will have. */
  readonly onProgress?: (received: number, size: number) => void;
}

/** An artifact whose size and digest were verified. */
export interface Artifact {
  readonly data: ArrayBuffer;
  readonly manifest: Manifest;
  readonly fromCache: boolean;
}

/** Speaks to one service. Every method throws a `NeuMetaClientError`, or the reason of an aborted signal. */
export class Client {
  readonly #base: string;
  readonly #token: string | undefined;
  readonly #cache: ArtifactCache | null;

  /** `url` is where the service is, for example `location.origin`. */
  constructor(url: string, options: ClientOptions = {}) {
    this.#base = url.replace(/\/+$/, "");
    this.#token = options.token;
    this.#cache = options.cache === undefined ? new StorageCache() : options.cache;
  }

  /** Every model of the service, ready or refused. */
  async models(options: { signal?: AbortSignal } = {}): Promise<readonly ModelSummary[]> {
    return (await this.#json<{ models: readonly ModelSummary[] }>("/v1/models", options)).models;
  }

  /** One model: channel groups, limits, costs, input. */
  async model(name: string, options: { signal?: AbortSignal } = {}): Promise<Model> {
    return this.#json(pathOf(name), options);
  }

  /** Measured quality of one model against size. */
  async curve(name: string, options: { signal?: AbortSignal } = {}): Promise<Curve> {
    return this.#json(`${pathOf(name)}/curve`, options);
  }

  /** A few real inputs of one model; none when its file carries none. */
  async samples(name: string, options: { signal?: AbortSignal } = {}): Promise<Samples> {
    return this.#json(`${pathOf(name)}/samples`, options);
  }

  /** What a member would be and cost; nothing is made for it. */
  async plan(name: string, selection: Selection, options: { signal?: AbortSignal } = {}): Promise<Plan> {
    return this.#json(`${pathOf(name)}/plan`, { ...options, body: JSON.stringify(selection) });
  }

  /** What a pull would get, without the download. */
  async manifest(name: string, selection: Selection, options: { signal?: AbortSignal } = {}): Promise<Manifest> {
    const manifest = await this.#json<Manifest>(`${pathOf(name)}/materialize`, { ...options, body: JSON.stringify(selection) });
    if (manifest.model !== name || !DIGEST.test(manifest.digest) || !Number.isSafeInteger(manifest.size)) {
      throw new UnexpectedAnswer(`The service's manifest of ${name} is not one.`);
    }
    return manifest;
  }

  /** One member, from the cache or the service. Starts again once when the artifact was evicted meanwhile or its bytes were wrong. */
  async pull(name: string, selection: Selection, options: PullOptions = {}): Promise<Artifact> {
    try {
      return await this.#pull(name, selection, options);
    } catch (error) {
      if (!(error instanceof ArtifactGone || error instanceof IntegrityError)) throw error;
      return this.#pull(name, selection, options);
    }
  }

  async #pull(name: string, selection: Selection, options: PullOptions): Promise<Artifact> {
    const manifest = await this.manifest(name, selection, options);
    const kept = await this.#cache?.get(manifest.digest);
    if (kept !== undefined) {
      if ((await digestOf(kept)) === manifest.digest) return { data: kept, manifest, fromCache: true };
      await this.#cache?.remove(manifest.digest);
    }
    const data = await this.#download(manifest, options);
    await this.#cache?.put(manifest.digest, data);
    return { data, manifest, fromCache: false };
  }

  async #download(manifest: Manifest, options: PullOptions): Promise<ArrayBuffer> {
    const response = await this.#fetch(`/v1/artifacts/${manifest.digest}`, options, "application/octet-stream");
    const data = await read(response, manifest.size, options.onProgress);
    if ((await digestOf(data)) !== manifest.digest) {
      throw new IntegrityError(`The bytes of ${manifest.filename} are not those that the manifest names; nothing was kept.`);
    }
    return data;
  }

  async #json<T>(path: string, options: { signal?: AbortSignal; body?: string }): Promise<T> {
    const response = await this.#fetch(path, options, "application/json");
    try {
      return (await response.json()) as T;
    } catch (error) {
      throw new UnexpectedAnswer(`${path} did not answer with JSON.`, { cause: error });
    }
  }

  async #fetch(path: string, options: { signal?: AbortSignal; body?: string }, accept: string): Promise<Response> {
    const headers: Record<string, string> = { accept };
    if (this.#token !== undefined) headers["authorization"] = `Bearer ${this.#token}`;
    if (options.body !== undefined) headers["content-type"] = "application/json";
    const init: RequestInit = { headers, signal: options.signal ?? null };
    if (options.body !== undefined) Object.assign(init, { method: "POST", body: options.body });
    const response = await reached(fetch(this.#base + path, init), options.signal);
    if (!response.ok) throw await errorOf(response);
    return response;
  }
}

function pathOf(name: string): string {
  return `/v1/models/${encodeURIComponent(name)}`;
}

/** All bytes of a body of exactly `size`; stops reading as soon as there are more. */
async function read(response: Response, size: number, onProgress: PullOptions["onProgress"]): Promise<ArrayBuffer> {
  const data = new Uint8Array(size);
  let received = 0;
  const reader = response.body?.getReader();
  for (let part = await reached(reader?.read()); part !== undefined && !part.done; part = await reached(reader?.read())) {
    if (received + part.value.length > size) {
      await reader?.cancel();
      throw new IntegrityError(`More than the ${size} bytes came that the manifest names; nothing was kept.`);
    }
    data.set(part.value, received);
    received += part.value.length;
    onProgress?.(received, size);
  }
  if (received < size) throw new ConnectionFailed(`The connection ended after ${received} of ${size} bytes.`);
  return data.buffer;
}

/** The same result; a network failure becomes `ConnectionFailed`, an abort stays what it is. */
async function reached<T>(attempt: Promise<T> | undefined, signal?: AbortSignal): Promise<T> {
  try {
    return (await attempt) as T;
  } catch (error) {
    if (signal?.aborted || (error instanceof DOMException && error.name === "AbortError")) throw error;
    throw new ConnectionFailed("The service could not be reached, or the connection was cut.", { cause: error });
  }
}

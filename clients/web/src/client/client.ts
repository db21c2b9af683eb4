import { checkManifest, objectOf } from "./answer.js";
import { type ArtifactCache, StorageCache } from "./cache.js";
import { addressOf, authorizationOf, reached } from "./connection.js";
import { digestOf, webCrypto } from "./digest.js";
import { download, type PullOptions } from "./download.js";
import { ArtifactGone, errorOf, IntegrityError, UnexpectedAnswer } from "./errors.js";
import { rest, retried, type Sleep } from "./retry.js";
import type { Curve, Manifest, Model, ModelSummary, Plan, Samples, Selection, Version } from "./types.js";

export interface ClientOptions {
  /** API key, sent as a bearer token; an empty one is none. */
  readonly token?: string;
  /** Where artifacts are kept; null keeps none. The browser's Cache Storage when not given. */
  readonly cache?: ArtifactCache | null;
  /** Waits before a service that is not available is asked again; for pages that say so, and for tests. */
  readonly sleep?: Sleep;
}

export interface ReadOptions {
  readonly signal?: AbortSignal;
}

export interface VersionOptions extends ReadOptions {
  /** The latest version when not given. */
  readonly version?: Version;
}

interface Request extends ReadOptions {
  readonly accept: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
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
  readonly #authorization: Readonly<Record<string, string>>;
  readonly #cache: ArtifactCache | null;
  readonly #sleep: Sleep;

  /** `url` is where the service is, for example `location.origin`. Throws `InvalidRequest` when it, or the token, cannot be one. */
  constructor(url: string, options: ClientOptions = {}) {
    this.#base = addressOf(url);
    this.#authorization = authorizationOf(options.token);
    this.#cache = options.cache === undefined ? new StorageCache() : options.cache;
    this.#sleep = options.sleep ?? rest;
  }

  /** Every version of every model of the service, ready or refused. */
  async models(options: ReadOptions = {}): Promise<readonly ModelSummary[]> {
    const { models } = await this.#json<{ models: readonly ModelSummary[] }>("/v1/models", options);
    if (!Array.isArray(models)) throw new UnexpectedAnswer("/v1/models did not answer with a list of models.");
    return models;
  }

  /** One model: channel groups, limits, costs, input. */
  async model(name: string, options: VersionOptions = {}): Promise<Model> {
    return this.#json(`${pathOf(name)}${queryOf(options)}`, options);
  }

  /** Measured quality of one model against size. */
  async curve(name: string, options: VersionOptions = {}): Promise<Curve> {
    return this.#json(`${pathOf(name)}/curve${queryOf(options)}`, options);
  }

  /** A few real inputs of one model; none when its file carries none. */
  async samples(name: string, options: VersionOptions = {}): Promise<Samples> {
    return this.#json(`${pathOf(name)}/samples${queryOf(options)}`, options);
  }

  /** What a member would be and cost; nothing is made for it. */
  async plan(name: string, selection: Selection, options: ReadOptions = {}): Promise<Plan> {
    return this.#json(`${pathOf(name)}/plan`, { ...options, body: JSON.stringify(selection) });
  }

  /** What a pull would get, without the download. */
  async manifest(name: string, selection: Selection, options: ReadOptions = {}): Promise<Manifest> {
    const manifest = await this.#json<Manifest>(`${pathOf(name)}/materialize`, { ...options, body: JSON.stringify(selection) });
    checkManifest(manifest, name);
    const { version } = selection;
    if (/^\d+$/.test(String(version)) && String(manifest.version) !== String(version)) {
      throw new UnexpectedAnswer(`The service answered with version ${manifest.version} of ${name}; version ${version} was asked for.`);
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
    webCrypto(); // Nothing is made and downloaded that could not be verified.
    const manifest = await this.manifest(name, selection, options);
    const kept = await this.#cache?.get(manifest.digest);
    if (kept !== undefined) {
      if ((await digestOf(kept)) === manifest.digest) return { data: kept, manifest, fromCache: true };
      await this.#cache?.remove(manifest.digest);
    }
    const request = { ...options, accept: "application/octet-stream" };
    const data = await download(manifest, (headers) => this.#fetch(`/v1/artifacts/${manifest.digest}`, { ...request, headers }), options);
    await this.#cache?.put(manifest.digest, data);
    return { data, manifest, fromCache: false };
  }

  async #json<T>(path: string, options: ReadOptions & { readonly body?: string }): Promise<T> {
    const response = await this.#fetch(path, { ...options, accept: "application/json" });
    return objectOf<T>(await reached(response.text(), options.signal), path);
  }

  #fetch(path: string, request: Request): Promise<Response> {
    return retried(() => this.#ask(path, request), this.#sleep, request.signal);
  }

  async #ask(path: string, { accept, body, headers: further, signal }: Request): Promise<Response> {
    const headers: Record<string, string> = { accept, ...further, ...this.#authorization };
    if (body !== undefined) headers["content-type"] = "application/json";
    const init: RequestInit = { headers, signal: signal ?? null, ...(body === undefined ? {} : { method: "POST", body }) };
    const response = await reached(fetch(this.#base + path, init), signal);
    if (response.ok) return response;
    const error = await errorOf(response);
    signal?.throwIfAborted(); // It is not the answer's fault then that it could not be read.
    throw error;
  }
}

function pathOf(name: string): string {
  return `/v1/models/${encodeURIComponent(name)}`;
}

function queryOf({ version }: VersionOptions): string {
  return version === undefined ? "" : `?version=${encodeURIComponent(version)}`;
}

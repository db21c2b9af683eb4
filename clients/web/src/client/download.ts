/** The bytes of an artifact, of which a part may have come before the connection was cut. */
import { reached } from "./connection.js";
import { digestOf } from "./digest.js";
import { ConnectionFailed, IntegrityError, Unsupported } from "./errors.js";
import type { Manifest } from "./types.js";

const PARTIAL_CONTENT = 206;

export interface PullOptions {
  readonly signal?: AbortSignal;
  /** Called with the bytes that have come so far and those that will have; fewer than before when a download started again. */
  readonly onProgress?: (received: number, size: number) => void;
}

/**
 * The verified bytes of a manifest. `request` asks for them with further headers. When the connection is cut it is called once more, for
 * the rest (RFC 9110 section 14.2); `If-Range` with the digest, which is the strong ETag, keeps two artifacts from being mixed.
 */
export async function download(
  manifest: Manifest,
  request: (headers: Readonly<Record<string, string>>) => Promise<Response>,
  options: PullOptions,
): Promise<ArrayBuffer> {
  const part = new Part(manifest, options);
  const response = await request({});
  try {
    await part.take(response);
  } catch (error) {
    if (!(error instanceof ConnectionFailed)) throw error;
    if (part.received < manifest.size) await part.goOn(await request({ range: `bytes=${part.received}-`, "if-range": `"${manifest.digest}"` }));
  }
  return part.verified();
}

class Part {
  readonly #data: Uint8Array<ArrayBuffer>;
  received = 0;

  constructor(
    private readonly manifest: Manifest,
    private readonly options: PullOptions,
  ) {
    this.#data = roomFor(manifest.size);
  }

  /** All bytes of a body that ends where the artifact does; stops reading as soon as there are more. */
  async take(response: Response): Promise<void> {
    const { manifest, options } = this;
    const reader = response.body?.getReader();
    while (reader !== undefined) {
      const { done, value } = await reached(reader.read(), options.signal);
      if (done) break;
      if (this.received + value.length > manifest.size) {
        await reader.cancel();
        throw new IntegrityError(`More than the ${manifest.size} bytes came that the manifest names; nothing was kept.`);
      }
      this.#data.set(value, this.received);
      this.received += value.length;
      options.onProgress?.(this.received, manifest.size);
    }
    if (this.received < manifest.size) throw new ConnectionFailed(`The connection ended after ${this.received} of ${manifest.size} bytes.`);
  }

  /** The rest from an answer to a request for it; all of it from an answer that is not partial. */
  async goOn(response: Response): Promise<void> {
    if (response.status !== PARTIAL_CONTENT) this.received = 0;
    else if (!response.headers.get("content-range")?.startsWith(`bytes ${this.received}-`)) {
      await response.body?.cancel();
      throw new IntegrityError(`Another part of ${this.manifest.filename} came than the one after ${this.received} bytes; nothing was kept.`);
    }
    await this.take(response);
  }

  async verified(): Promise<ArrayBuffer> {
    if ((await digestOf(this.#data)) !== this.manifest.digest) {
      throw new IntegrityError(`The bytes of ${this.manifest.filename} are not those that the manifest names; nothing was kept.`);
    }
    return this.#data.buffer;
  }
}

/** Throws `Unsupported` where there is not so much memory. */
function roomFor(size: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(size);
  } catch (error) {
    throw new Unsupported(`There is no memory here for the ${size} bytes of this size; choose a smaller one.`, { cause: error });
  }
}

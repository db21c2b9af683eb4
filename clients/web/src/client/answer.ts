/** What answers have to be before anything is made of them; fields that are only handed on are not looked at. */
import { UnexpectedAnswer } from "./errors.js";
import type { Manifest } from "./types.js";

const DIGEST = /^sha256:[0-9a-f]{64}$/;
/** An ONNX file is one message of Protocol Buffers, and those stay below 2 GiB. */
const TOO_MANY_BYTES = 2 ** 31;

/** The object that a JSON text is. Throws `UnexpectedAnswer`; `path` names what was asked for. */
export function objectOf<T>(text: string, path: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UnexpectedAnswer(`${path} did not answer with JSON.`, { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new UnexpectedAnswer(`${path} did not answer with a JSON object.`);
  return value as T;
}

/** Throws `UnexpectedAnswer` unless this can be the manifest of an artifact of this model. */
export function checkManifest(manifest: Manifest, model: string): void {
  const { digest, version, size, filename } = manifest;
  const isDigest = typeof digest === "string" && DIGEST.test(digest);
  if (manifest.model !== model || !isDigest || !Number.isSafeInteger(version) || typeof filename !== "string") {
    throw new UnexpectedAnswer(`The service's manifest of ${model} is not one.`);
  }
  if (!Number.isInteger(size) || size < 0 || size >= TOO_MANY_BYTES) {
    throw new UnexpectedAnswer(`The service's manifest of ${model} has ${JSON.stringify(size)} as size; expected a number of bytes below 2 GiB.`);
  }
}

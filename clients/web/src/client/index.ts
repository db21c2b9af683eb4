/** The one door of this package. */
export { type ArtifactCache, StorageCache } from "./cache.js";
export { type Artifact, Client, type ClientOptions, type PullOptions } from "./client.js";
export * from "./errors.js";
export { createSession, prepared, type Runtime, type Session, type SessionOptions, softmax } from "./session.js";
export type * from "./types.js";

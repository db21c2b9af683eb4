/** The one door of this package. */
export { type ArtifactCache, StorageCache } from "./cache.js";
export { type Artifact, Client, type ClientOptions, type ReadOptions, type VersionOptions } from "./client.js";
export type { PullOptions } from "./download.js";
export * from "./errors.js";
export { rest, type Sleep } from "./retry.js";
export { createSession, prepared, type Runtime, type RuntimeSession, type Session, type SessionOptions, softmax } from "./session.js";
export type * from "./types.js";

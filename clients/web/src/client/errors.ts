/** Every error of this package. `NeuMetaClientError` is their root; the class says what to do, `code` is the service's stable name. */

/** A problem document (RFC 9457) of the service. */
export interface Problem {
  readonly code?: string;
  readonly status?: number;
  readonly detail?: string;
  readonly request_id?: string;
  readonly errors?: readonly { readonly field: string; readonly value: unknown; readonly expected: string }[];
  readonly smallest?: { readonly params: number; readonly macs: number; readonly bytes: number; readonly latency_ms?: number };
  readonly rungs?: readonly string[];
  readonly precisions?: readonly string[];
}

export interface ErrorDetails {
  readonly problem?: Problem;
  readonly cause?: unknown;
  /** Seconds. */
  readonly retryAfter?: number | undefined;
}

/** Root of all errors; `problem` is empty when there was no answer. */
export class NeuMetaClientError extends Error {
  readonly problem: Problem;

  constructor(message: string, options: ErrorDetails = {}) {
    super(message, { cause: options.cause });
    this.name = new.target.name;
    this.problem = options.problem ?? {};
  }

  get code(): string | undefined {
    return this.problem.code;
  }

  get requestId(): string | undefined {
    return this.problem.request_id;
  }
}

/** What was asked for cannot be had; ask for something else. */
export class RequestError extends NeuMetaClientError {}
/** An argument is missing, unknown or out of range: `problem.errors` names each that the service refused. */
export class InvalidRequest extends RequestError {}
/** No member of the family is small enough: `problem.smallest` is what the smallest costs. */
export class BudgetImpossible extends RequestError {}
/** The service has no model of that name. */
export class ModelNotFound extends RequestError {}
/** The model has no version of that number or alias. */
export class VersionNotFound extends RequestError {}
/** The model has no rung of that name: `problem.rungs` are those that it has. */
export class RungNotFound extends RequestError {}
/** The device has no profile of the model that can be used: `problem.precisions` are those in which it was measured, if any. */
export class ProfileNotFound extends RequestError {}
/** The token is missing, unknown, expired or not for this request: `code` is `unauthenticated` or `forbidden`. */
export class AccessRefused extends RequestError {}
/** The service answered with an error. */
export class ServiceError extends NeuMetaClientError {}
/** It is starting, overloaded or behind a proxy that cannot reach it, and was asked several times; ask again later. */
export class ServiceUnavailable extends ServiceError {
  /** Seconds until the service wants to be asked again; undefined when it did not say. */
  readonly retryAfter: number | undefined;

  constructor(message: string, options: ErrorDetails = {}) {
    super(message, options);
    this.retryAfter = options.retryAfter;
  }
}
/** The service found a fault in the model's file and does not serve it. */
export class ModelRefused extends ServiceError {}
/** The artifact was evicted, and a repeated request did not bring it back. */
export class ArtifactGone extends ServiceError {}
/** The answer is not what the HTTP API promises. */
export class UnexpectedAnswer extends ServiceError {}
/** No answer, or not all of it. */
export class ConnectionFailed extends NeuMetaClientError {}
/** The bytes are not those that the manifest names; nothing was kept. */
export class IntegrityError extends NeuMetaClientError {}
/** The page cannot do this here: no WebCrypto outside of HTTPS and localhost, no onnxruntime-web, or too little memory. */
export class Unsupported extends NeuMetaClientError {}
/** onnxruntime-web could not be loaded or started, or did not take the network: `cause` is what it said. */
export class RuntimeFailed extends Unsupported {}

/** No object: every one of those has a `constructor`, and codes are whatever an answer says. */
const CLASS_OF_CODE: ReadonlyMap<unknown, typeof NeuMetaClientError> = new Map(Object.entries({
  artifact_gone: ArtifactGone,
  body_too_large: InvalidRequest,
  budget_impossible: BudgetImpossible,
  forbidden: AccessRefused,
  invalid_request: InvalidRequest,
  model_not_found: ModelNotFound,
  model_refused: ModelRefused,
  profile_not_found: ProfileNotFound,
  rung_not_found: RungNotFound,
  unauthenticated: AccessRefused,
  version_not_found: VersionNotFound,
}));
/** Of answers without a code, or with one that only says why the service is not available. */
const CLASS_OF_STATUS: Readonly<Record<number, typeof NeuMetaClientError>> = {
  429: ServiceUnavailable,
  502: ServiceUnavailable,
  503: ServiceUnavailable,
  504: ServiceUnavailable,
};

/** The error that an answer with a status of 400 or more means. */
export async function errorOf(response: Response): Promise<NeuMetaClientError> {
  const problem = await problemOf(response);
  const Class = CLASS_OF_CODE.get(problem.code) ?? CLASS_OF_STATUS[response.status] ?? ServiceError;
  const detail = typeof problem.detail === "string" ? problem.detail : `The service answered with status ${response.status}.`;
  return new Class(detail, { problem, retryAfter: retryAfterOf(response) });
}

/** Whole seconds (RFC 9110 section 10.2.3); a date, which only a clock that is right could read, counts as none. */
function retryAfterOf(response: Response): number | undefined {
  const value = response.headers.get("retry-after")?.trim() ?? "";
  return /^\d{1,9}$/.test(value) ? Number(value) : undefined;
}

async function problemOf(response: Response): Promise<Problem> {
  const declared = response.headers.get("content-type") ?? "";
  if (!declared.startsWith("application/problem+json")) return { status: response.status };
  try {
    const document: unknown = await response.json();
    return typeof document === "object" && document !== null ? document : { status: response.status };
  } catch {
    return { status: response.status };
  }
}

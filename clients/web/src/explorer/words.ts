/** Errors in words for whoever looks at the page. */
import { BudgetImpossible, NeuMetaClientError, RequestError, RuntimeFailed, Unsupported } from "../client/index.js";
import * as format from "./format.js";

type Said = (detail: string) => string;

/** No object: every one of those has a `constructor`, and codes are whatever an answer says. */
const SAID: ReadonlyMap<unknown, Said> = new Map(Object.entries<Said>({
  deadline_exceeded: (detail) => `The service took too long to make this size; choose it again in a moment. ${detail}`,
  overloaded: (detail) => `The service is busy and could not make this size; choose it again in a moment. ${detail}`,
  rate_limited: (detail) => `The service was asked too often. ${detail}`,
  self_check_failed: (detail) => `This size does not work, so the service does not deliver it; choose another size or number format. ${detail}`,
  version_not_found: (detail) => `This version is not served any more; reload the page to see those that are. ${detail}`,
}));

/** Its own message speaks to who builds a page. */
const RUNTIME_FAILED = "The part that runs networks could not be loaded, or does not take this size; reload the page, or choose another size.";

/** One or two sentences; `hasKey` tells a key that is wrong from one that is missing. */
export function inWords(error: unknown, hasKey: boolean): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof BudgetImpossible) return budgetInWords(error);
  if (error instanceof RuntimeFailed) return RUNTIME_FAILED;
  const code = error instanceof NeuMetaClientError ? error.code : undefined;
  if (code === "unauthenticated") return hasKey ? `This key is not accepted. ${error.message}` : "This service asks for an API key.";
  return SAID.get(code)?.(error.message) ?? error.message;
}

/** Of a service that is busy and will be asked again. */
export function busyInWords(milliseconds: number): string {
  return `The service is busy; it is asked again in ${Math.ceil(milliseconds / 1000)} s.`;
}

/** Whether the same can go well another time: not what has to be asked for otherwise, nor what this browser cannot do. */
export function mayPass(error: unknown): boolean {
  return !(error instanceof RequestError || error instanceof Unsupported);
}

function budgetInWords({ message, problem: { smallest } }: BudgetImpossible): string {
  if (smallest === undefined) return message;
  const { params, macs, bytes } = smallest;
  return `The budget is too small: the smallest network has ${format.count(params)} parameters, ${format.count(macs)} multiply-adds and a file of ${format.size(bytes)}.`;
}

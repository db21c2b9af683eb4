import { ServiceUnavailable } from "./errors.js";

/** Waits; rejects with the reason of a signal that is aborted meanwhile. */
export type Sleep = (milliseconds: number, signal?: AbortSignal) => Promise<void>;

const MOST_RETRIES = 3;
const LONGEST_WAIT_S = 60;

/** The same result; a service that is not available is asked up to three times more, when it wants to be, else after 1, 2 and 4 s. */
export async function retried<T>(attempt: () => Promise<T>, sleep: Sleep, signal?: AbortSignal): Promise<T> {
  for (let retry = 0; ; retry++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof ServiceUnavailable) || retry === MOST_RETRIES) throw error;
      const wait = error.retryAfter ?? 2 ** retry;
      // Asking earlier than the service wants would not be honest, and nobody expects a call to take longer.
      if (wait > LONGEST_WAIT_S) throw error;
      await sleep(1000 * wait, signal);
    }
  }
}

export const rest: Sleep = (milliseconds, signal) =>
  new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, milliseconds);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
  });

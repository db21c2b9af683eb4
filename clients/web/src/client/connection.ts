import { ConnectionFailed } from "./errors.js";

/** The same result; a network failure becomes `ConnectionFailed`, an abort stays what it is. */
export async function reached<T>(attempt: Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await attempt;
  } catch (error) {
    if (signal?.aborted || (error instanceof DOMException && error.name === "AbortError")) throw error;
    throw new ConnectionFailed("The service could not be reached, or the connection was cut.", { cause: error });
  }
}

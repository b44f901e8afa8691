/** The server's HTTP interface. Every failure comes as an ApiError with a line that can be shown. */

export class ApiError extends Error {
  /**
   * @param {string} message one clear line
   * @param {number} status of HTTP; 0 if there was no answer at all
   * @param {any} body of the answer, where it was JSON
   */
  constructor(message, status, body = null) {
    super(message);
    this.status = status;
    this.body = body;
  }

  /** Whether the same request may succeed later without any change. */
  get passing() {
    return this.status === 0 || this.status === 403 || this.status === 429 || this.status >= 500;
  }
}

const PATIENCE = 60_000; // an estimate of a large image on a busy machine still comes

async function answer(path, options) {
  const { signal, ...rest } = options;
  const limit = AbortSignal.timeout(PATIENCE);
  const signals = signal ? AbortSignal.any([signal, limit]) : limit;
  let response;
  try {
    response = await fetch(path, { ...rest, signal: signals, credentials: "same-origin" });
  } catch (error) {
    if (signal?.aborted) throw error; // nobody waits for it any more
    throw new ApiError("the server does not answer", 0);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  const line = body?.error ?? `the server answered ${response.status} ${response.statusText}`;
  throw new ApiError(line, response.status, body);
}

/** @param {string} path @param {AbortSignal} [signal] */
export async function getJson(path, signal) {
  return whole(await answer(path, { signal }), (response) => response.json(), signal);
}

/** @param {string} path @param {any} content @param {AbortSignal} [signal] */
export async function postJson(path, content, signal) {
  const headers = { "Content-Type": "application/json" };
  const options = { method: "POST", headers, body: JSON.stringify(content), signal };
  return whole(await answer(path, options), (response) => response.json(), signal);
}

/** A picture as it was sent: no colour management, which would change the colours of labels. */
export async function getPicture(path, signal) {
  const blob = await whole(await answer(path, { signal }), (response) => response.blob(), signal);
  try {
    return await createImageBitmap(blob, {
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new ApiError("the picture cannot be shown", 415);
  }
}

/** An answer may break off in its middle, which is no answer. */
async function whole(response, read, signal) {
  try {
    return await read(response);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError("the server's answer broke off", 0);
  }
}

/** Seconds that must still go out while the page is being closed. */
export function sendSeconds(number, seconds) {
  const content = new Blob([JSON.stringify({ seconds })], { type: "application/json" });
  return navigator.sendBeacon(`/api/images/${number}/seconds`, content);
}

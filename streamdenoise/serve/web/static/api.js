// Requests to the service, and what a page does while it does not answer.

const csrfToken = document.querySelector('meta[name="csrf-token"]').content;
const TIMEOUT_MS = 15000;

/** Send a request; returns parsed JSON, or null if the answer is empty. */
export async function api(path, method = "GET", body = undefined) {
  const headers = {};
  if (csrfToken) headers["X-CSRF-Token"] = csrfToken;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new Error("The service does not answer. Trying again.");
  }
  if (response.status === 401 && location.pathname !== "/login") {
    const here = location.pathname + location.search;
    location.assign(`/login?next=${encodeURIComponent(here)}`);
  }
  const text = await response.text();
  let answer = null;
  try {
    answer = text ? JSON.parse(text) : null;
  } catch {
    // Something between here and the service answers in its place.
  }
  if (!response.ok) throw new Error(sentence(answer?.detail ?? `Error ${response.status}`));
  return answer;
}

/** Run a task now and again and again, but only while somebody looks. */
export function every(seconds, task) {
  let isRunning = false;
  async function run() {
    if (isRunning || document.hidden) return;
    isRunning = true;
    try {
      await task();
      trouble("");
    } catch (error) {
      trouble(error.message);
    } finally {
      isRunning = false;
    }
  }
  run();
  setInterval(run, seconds * 1000);
  document.addEventListener("visibilitychange", run);
  return run;
}

/** Show what is wrong at the top of the page; "" hides it. */
export function trouble(text) {
  show(document.getElementById("trouble"), text);
}

/** Put a text into an element that is hidden while the text is empty. */
export function show(element, text) {
  if (element.textContent !== text) element.textContent = text;
  element.hidden = !text;
}

/** Set a text only if it is another one: selections stay. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The address of a camera in the API. */
export function cameraPath(name, rest = "") {
  return `/api/cameras/${encodeURIComponent(name)}${rest}`;
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

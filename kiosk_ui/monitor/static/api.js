// The JSON API. Errors are thrown as `Refused`, with the code that the texts have a sentence for.
let csrf = "";
let onSignedOut = () => {};

export class Refused extends Error {
  constructor(status, body) {
    super(body?.message ?? String(status));
    this.status = status;
    this.code = body?.error ?? "unknown";
  }
}

export function useSession(session, signedOut) {
  csrf = session?.csrf ?? "";
  onSignedOut = signedOut ?? onSignedOut;
}

async function call(method, path, { body, background = false } = {}) {
  const headers = { "X-CSRF-Token": csrf };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (background) headers["X-Background"] = "1";
  const response = await fetch(`/api/v1/${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const found = await response.json().catch(() => null);
  if (response.ok) return found;
  if (response.status === 401 && path !== "session") onSignedOut();
  throw new Refused(response.status, found);
}

export const get = (path, background = false) => call("GET", path, { background });
export const post = (path, body = {}) => call("POST", path, { body });
export const remove = (path) => call("DELETE", path);

export function query(values) {
  const found = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined));
  return found.size ? `?${found}` : "";
}

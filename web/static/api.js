/* The API client: returns the data of answers, or throws a Problem; reads include this page's own writes. */

const BASE = "/api/v1";
const WAITS = /^\/(orders|inventory|customers|work-queue)/; // paths whose reads wait for a Consistency-Token
const tokens = []; // the tokens of this page's newest commands
let authorization = sessionStorage.getItem("token");

/** An error answer of the API: its code, message, details and errors by field. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.message ?? `The server answered ${status}.`);
    this.status = status;
    this.code = body?.error ?? "";
    this.errors = body?.errors ?? {};
    this.details = body?.details ?? {};
  }
}

/** Keep the bearer token for this tab. */
export function authorize(token) {
  authorization = token;
  sessionStorage.setItem("token", token);
}

/** Return the headers every request needs. */
export function headers(more = {}) {
  return { ...(authorization ? { Authorization: `Bearer ${authorization}` } : {}), ...more };
}

async function ask(method, path, body, signal) {
  const asked = headers(body === undefined ? {} : { "Content-Type": "application/json" });
  if (method === "GET" && tokens.length) asked["Consistency-Token"] = tokens.join(",");
  let response;
  try {
    response = await fetch(BASE + path, { method, headers: asked, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { message: "The server is unreachable. Is it running?" });
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Problem(response.status, answer);
  const token = response.headers.get("Consistency-Token");
  if (token) tokens.splice(0, tokens.length, ...[...tokens, token].slice(-4));
  return answer;
}

/** Return one document. */
export const get = async (path, signal) => (await ask("GET", withStale(path), undefined, signal)).data;
/** Return a page of a list: `{data, nextCursor}`. */
export const list = (path, signal) => ask("GET", withStale(path), undefined, signal);
/** Send a command; return the API's answer. */
export const send = async (method, path, body) => (await ask(method, path, body)).data;
/** Return an id encoded for a path. */
export const id = encodeURIComponent;

function withStale(path) {
  return tokens.length && WAITS.test(path) ? `${path}${path.includes("?") ? "&" : "?"}on_timeout=stale` : path;
}

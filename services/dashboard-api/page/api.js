// Questions to the API, with the token that was asked for once.

const KEY = 'dogwatch.token';
const PATIENCE = 10_000;

/** The token was not accepted. */
export class Unauthorized extends Error {}

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

/** Asks; returns the status and the body. Fails when there is no answer in JSON, or another token is needed. */
export async function get(path, bearer = token.get()) {
  const headers = bearer ? { Authorization: `Bearer ${bearer}` } : {};
  const answer = await fetch(path, { headers, cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) });
  if (answer.status === 401) throw new Unauthorized();
  return { status: answer.status, body: await answer.json() };
}

/** Asks for data; fails also when the answer is that there is none. */
export async function data(path) {
  const { status, body } = await get(path);
  if (status !== 200) throw new Error(body.message ?? body.error ?? `${path} answered ${status}`);
  return body;
}

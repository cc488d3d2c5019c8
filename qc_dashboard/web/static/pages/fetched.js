// Read from the API. A refusal throws an Error with the server's sentence and its `status`; no answer, a TypeError.
export async function fetched(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.detail), { status: answer.status });
  return body;
}

// Sends every request of the contract with each of its examples, as it is: `node examples.mjs BASE-URL`, on an empty store. They must be accepted;
// that there is no such thing is good enough where the path or the body has an id or a code, which nobody can know beforehand.
import { contract, forAdmins, operations, resolve } from './contract.mjs';

const base = process.argv[2].replace(/\/$/, '');
const document = contract();
const schemaOf = (thing) => resolve(document, thing.schema);
const exampleOf = (parameter) => parameter.example ?? parameter.schema?.example ?? schemaOf(parameter).example;

function bodies(operation) {
  if (!operation.requestBody) return [undefined];
  if (operation.requestBody.content['multipart/form-data']) return [upload()];
  const media = operation.requestBody.content['application/json'];
  if (!media?.examples) throw new Error(`${operation.operationId} has no example`);
  return Object.values(media.examples).map((e) => e.value);
}

function upload() {
  const form = new FormData();
  form.set('file', new Blob(['Remember the milk.']), 'notes.txt');
  return form;
}

// The request that Swagger UI would prefill.
function prefill({ path, method, operation }, body, token) {
  const isForm = body instanceof FormData;
  const headers = { ...(body && !isForm && { 'Content-Type': 'application/json' }), ...(token && { Authorization: `Bearer ${token}` }) };
  const query = new URLSearchParams();
  for (const parameter of operation.parameters) {
    const value = exampleOf(parameter);
    if (value === undefined && parameter.required) throw new Error(`${operation.operationId}: ${parameter.name} has no example`);
    if (value === undefined) continue;
    if (parameter.in === 'path') path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
    if (parameter.in === 'query') query.set(parameter.name, value);
    if (parameter.in === 'header') headers[parameter.name] = String(value);
  }
  return [`${base}${path}${query.size ? `?${query}` : ''}`, { method: method.toUpperCase(), headers, body: isForm ? body : body && JSON.stringify(body) }];
}

async function send(url, options) {
  const abort = new AbortController();
  const response = await fetch(url, { ...options, signal: abort.signal });
  const stream = response.headers.get('Content-Type')?.startsWith('text/event-stream');
  const text = stream ? '' : await response.text();
  if (stream) abort.abort();
  return { status: response.status, answer: response.headers.get('Content-Type')?.includes('json') ? JSON.parse(text) : undefined };
}

const signIn = async (credentials) => {
  const options = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(credentials) };
  const { status, answer } = await send(`${base}/v1/sessions`, options);
  if (status !== 201) throw new Error(`cannot sign in: ${status} ${JSON.stringify(answer)}`);
  return answer.token;
};

// What needs no token comes first, signing out last; who is put out of a room has said there what there was to say.
const last = ['leaveRoom', 'moderateMember', 'kickMember', 'deleteCurrentSession'];
const rank = ({ operation }) => (operation.security?.length === 0 ? 0 : 1 + (last.indexOf(operation.operationId) + 1));

const tokens = { admin: await signIn({ username: 'admin', password: process.env.GUICHET_ADMIN_PASSWORD }) };
let sent = 0, bad = 0;
for (const call of [...operations(document)].sort((a, b) => rank(a) - rank(b))) {
  for (const body of bodies(call.operation)) {
    const { status, answer } = await send(...prefill(call, body, forAdmins(call.operation) ? tokens.admin : tokens.user));
    if (call.operation.operationId === 'createSession') tokens.user = answer.token;
    const unknown = status === 404 ? /\{(id|code)\}/.test(call.path) : body?.trip && answer?.problem?.code === 'unknown_trip';
    const fine = (unknown || (status < 300 && !answer?.problem)) && call.operation.responses[status];
    sent++;
    if (!fine) {
      bad++;
      console.error(`  ${call.operation.operationId} ${JSON.stringify(body) ?? ''}: ${status} ${JSON.stringify(answer)}`);
    }
  }
}
console.log(`${sent} examples sent, ${bad} refused`);
process.exitCode = bad || !sent ? 1 : 0;

// Makes the Postman collection from openapi.yaml: `node collection.mjs` writes it, `node collection.mjs --check` says whether the one that is
// there is what would be written. What a generator cannot know (which order makes sense, what to fill in, what to expect) is in walk.mjs.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { contract, forAdmins, operations } from './contract.mjs';
import * as walk from './walk.mjs';

const file = new URL('guichet.postman_collection.json', import.meta.url);

function seedRandom(seed) {
  // The generator invents values where the contract has no example. None of them may stay, but the same must come out each time.
  Math.random = () => {
    seed = (seed * 48271) % 2147483647;
    return seed / 2147483647;
  };
}

function withoutStreams(document) {
  const copy = structuredClone(document);
  for (const { path, method, operation } of operations(copy)) {
    if (isStream(operation)) delete copy.paths[path][method];
  }
  return copy;
}

const isStream = (operation) => Object.values(operation.responses).some((r) => r.content?.['text/event-stream']);

async function convert(document) {
  seedRandom(1);
  const { convertV2 } = createRequire(import.meta.url)('openapi-to-postmanv2');
  const options = { parametersResolution: 'Example', folderStrategy: 'Tags' };
  const result = await new Promise((resolve, reject) => {
    convertV2({ type: 'json', data: document }, options, (error, done) => (error ? reject(error) : resolve(done)));
  });
  if (!result.result) throw new Error(`the contract cannot be converted: ${result.reason}`);
  return result.output[0].data;
}

// Requests in the collection, by operation.
function itemsOf(folders) {
  const items = new Map();
  for (const folder of folders) {
    for (const item of folder.item) {
      const { method, url } = item.request;
      // A parameter that is a whole segment is :name there, one that has a suffix is a variable.
      items.set(`${method} /${url.path.map((p) => p.replace(/^:(.*)/, '{$1}').replace('{{', '{').replace('}}', '}')).join('/')}`, item);
    }
  }
  return items;
}

const statuses = (operation) => Object.keys(operation.responses).filter((s) => s !== 'default').map(Number).sort((a, b) => a - b);

function request(generated, operation, step) {
  const { method, url, header, body } = structuredClone(generated.request);
  for (const variable of url.variable) {
    variable.value = step.path?.[variable.key] ?? walk.parameters[variable.key] ?? variable.value;
    delete variable.disabled;
  }
  for (const parameter of [...url.query, ...header.filter((h) => 'disabled' in h)]) {
    const value = step.query?.[parameter.key] ?? step.header?.[parameter.key] ?? walk.parameters[parameter.key];
    parameter.disabled = value === undefined;
    parameter.value = value ?? '';
  }
  url.raw = rawUrl(url);
  if (step.file) return { description: generated.request.description, method, url, auth: authOf(operation), ...form(header, step.file) };
  return {
    description: generated.request.description,
    method, header, url, auth: authOf(operation),
    ...(operation.requestBody && { body: { ...body, raw: step.body ? JSON.stringify(step.body, null, 2) : body.raw } }),
  };
}

// A form with a file in it, written out: Postman would want a file on the disk of whoever runs the collection.
function form(header, { name, content }) {
  const part = `Content-Disposition: form-data; name="file"; filename="${name}"\r\nContent-Type: text/plain\r\n\r\n${content}`;
  return {
    header: [...header.filter((h) => h.key !== 'Content-Type'), { key: 'Content-Type', value: 'multipart/form-data; boundary=walk' }],
    body: { mode: 'raw', raw: `--walk\r\n${part}\r\n--walk--\r\n` },
  };
}

function rawUrl(url) {
  const query = url.query.filter((q) => !q.disabled).map((q) => `${q.key}=${q.value}`).join('&');
  return `${url.host[0]}/${url.path.join('/')}${query && `?${query}`}`;
}

function authOf(operation) {
  if (operation.security?.length === 0) return { type: 'noauth' };
  const token = forAdmins(operation) ? '{{admin_token}}' : '{{token}}';
  return { type: 'bearer', bearer: [{ key: 'token', value: token, type: 'string' }] };
}

function event(listen, script) {
  return { listen, script: { type: 'text/javascript', exec: script.trim().split('\n').map((line) => line.replace(/^ {4}/, '')) } };
}

function item(generated, operation, step) {
  const expected = step.expect ? [step.expect].flat() : statuses(operation);
  const undeclared = expected.filter((s) => !statuses(operation).includes(s));
  if (undeclared.length) throw new Error(`walk.mjs expects ${undeclared} of ${operation.operationId}, which openapi.yaml does not declare`);
  const title = step.expect ? `answers ${expected.join(' or ')}` : 'answers with a status that the contract declares';
  const test = `pm.test(${JSON.stringify(title)}, () => pm.expect(pm.response.code).to.be.oneOf(${JSON.stringify(expected)}));`;
  return {
    name: step.name ?? generated.name,
    event: [...(step.before ? [event('prerequest', step.before)] : []), event('test', [test, step.after?.trim()].filter(Boolean).join('\n'))],
    request: request(generated, operation, step),
  };
}

// The steps of the walk in their order, then whatever the contract has that the walk does not know yet, then the end of the walk.
function arrange(document, generated) {
  const byId = new Map(), folders = new Map(), known = new Set([...walk.steps, ...walk.end].map((s) => s.of));
  for (const { path, method, operation } of operations(document)) byId.set(operation.operationId, { key: `${method.toUpperCase()} ${path}`, operation });
  const rest = [...byId.keys()].filter((of) => !known.has(of) && !isStream(byId.get(of).operation)).map((of) => ({ of }));
  if (rest.length) console.warn(`walk.mjs has no step for ${rest.map((s) => s.of).join(', ')}`);
  const items = itemsOf(generated.item);
  const add = (folder, description, step) => {
    const found = byId.get(step.of);
    if (!found) throw new Error(`walk.mjs has ${step.of}, which openapi.yaml has not`);
    if (!folders.has(folder)) folders.set(folder, { name: folder, description, item: [] });
    folders.get(folder).item.push(item(items.get(found.key), found.operation, step));
  };
  for (const step of [...walk.steps, ...rest]) {
    const tag = step.folder ?? byId.get(step.of)?.operation.tags[0];
    add(tag, document.tags.find((t) => t.name === tag)?.description, step);
  }
  for (const step of walk.end) add('the end', 'What must come last.', step);
  return [...folders.values()];
}

async function make() {
  const document = contract();
  const generated = await convert(withoutStreams(document));
  return {
    info: { name: generated.info.name, description: `${walk.description.trim()}\n\n${document.info.description}`, schema: generated.info.schema, version: document.info.version },
    item: arrange(document, generated),
    event: [event('prerequest', walk.before), event('test', walk.after)],
    variable: Object.entries(walk.variables).map(([key, value]) => ({ key, value, type: 'string' })),
  };
}

const text = `${JSON.stringify(await make(), null, 2)}\n`;
if (process.argv.includes('--check')) {
  if (fs.readFileSync(file, 'utf8') !== text) {
    console.error('guichet.postman_collection.json is not what openapi.yaml and walk.mjs make: run `node .ci/contract/collection.mjs`');
    process.exit(1);
  }
} else {
  fs.writeFileSync(file, text);
}

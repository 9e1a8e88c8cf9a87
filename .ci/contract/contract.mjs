// Reads openapi.yaml. References to parameters, bodies and responses are resolved; those to schemas are left.
import fs from 'node:fs';
import { parse } from 'yaml';

const methods = ['get', 'put', 'post', 'delete', 'patch'];

export function contract() {
  const document = parse(fs.readFileSync(new URL('../../openapi.yaml', import.meta.url), 'utf8'));
  for (const { item, operation } of operations(document)) {
    operation.parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])].map((p) => resolve(document, p));
    if (operation.requestBody) operation.requestBody = resolve(document, operation.requestBody);
    for (const status of Object.keys(operation.responses)) operation.responses[status] = resolve(document, operation.responses[status]);
  }
  for (const item of Object.values(document.paths)) delete item.parameters;
  return document;
}

export function* operations(document) {
  for (const [path, item] of Object.entries(document.paths)) {
    for (const method of methods) {
      if (item[method]) yield { path, method, item, operation: item[method] };
    }
  }
}

// What only admins may do is what others are forbidden.
export const forAdmins = (operation) => '403' in operation.responses && /Admins only/.test(operation.description);

export function resolve(document, thing) {
  if (!thing?.$ref) return thing;
  return resolve(document, thing.$ref.slice(2).split('/').reduce((at, step) => at[step], document));
}

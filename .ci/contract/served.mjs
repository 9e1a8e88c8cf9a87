// Compares the contract that a server shows with openapi.yaml: `node served.mjs BASE-URL`.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { parse } from 'yaml';

const written = parse(fs.readFileSync(new URL('../../openapi.yaml', import.meta.url), 'utf8'));
for (const path of ['/openapi.json', '/openapi.yaml']) {
  const response = await fetch(process.argv[2] + path);
  assert.equal(response.status, 200, path);
  assert.deepEqual(parse(await response.text()), written, `${path} is not the contract`);
}

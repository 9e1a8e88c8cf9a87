// Walks the collection: `node newman.mjs BASE-URL`. Beside what the collection asserts, no answer may be a fault of the server or a finding of the
// proxy in front of it, whichever script made the request.
import newman from 'newman';

const [baseUrl] = process.argv.slice(2);
const values = { baseUrl, admin_password: process.env.GUICHET_ADMIN_PASSWORD };
const faults = [];
const counts = {};

function look(error, { request, response }) {
  const call = `${request.method} ${request.url.getPath()}`;
  if (error) return faults.push(`${call}: ${error.message}`);
  counts[response.code] = (counts[response.code] ?? 0) + 1;
  const body = response.text();
  const found = response.headers.get('sl-violations') ?? (body.includes('stoplight.io/prism') && body);
  if (found) faults.push(`${call}: against the contract: ${found}`);
  else if (response.code >= 500) faults.push(`${call}: ${response.code} ${body}`);
}

newman.run({
  collection: new URL('guichet.postman_collection.json', import.meta.url).pathname,
  envVar: Object.entries(values).map(([key, value]) => ({ key, value })),
  reporters: [],
  timeoutRequest: 20_000,
}).on('request', look).on('done', (error, summary) => {
  if (error) faults.push(error.message);
  for (const f of summary.run.failures) faults.push(`${f.source?.name ?? 'a script'}: ${f.error.test ?? f.error.name}: ${f.error.message}`);
  const { requests, assertions } = summary.run.stats;
  console.log(`${requests.total} requests, ${assertions.total} assertions, statuses ${JSON.stringify(counts)}`);
  for (const fault of faults) console.error(`  ${fault}`);
  if (faults.length || !requests.total || requests.pending) process.exitCode = 1;
});

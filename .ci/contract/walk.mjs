// The walk that the Postman collection makes, from sign-up to sign-out: the order of the requests, what is filled in, and what is expected.
// A step is {of: operationId, name?, path?, query?, header?, body?, expect?, before?, after?}; before and after are scripts of Postman's.
// An operation without a step is called once with the examples of the contract, and must answer with a status that it declares.

export const description = `
Run it from the top: it registers a user of its own each time. Set \`baseUrl\` to the server and, for the operators' calls, \`admin_password\`.
Made from openapi.yaml; do not edit it.`;

export const variables = {
  baseUrl: 'http://127.0.0.1:8080', admin_password: '',
  username: '', password: '', account: '', other_account: '', token: '', admin_token: '', operation_id: '', lamport: '0',
};

// Values of parameters, wherever they occur. Optional ones that are named neither here nor in a step are left out.
export const parameters = {
  'Lamport-Time': '{{lamport}}', 'Idempotency-Key': '{{$guid}}', Prefer: 'wait=5',
  number: '{{account}}', id: '{{operation_id}}', limit: '50', wait: '5',
};

// Before and after every request: the client's Lamport clock, and what holds for every answer.
export const before = `
    pm.collectionVariables.set('lamport', String(Number(pm.collectionVariables.get('lamport')) + 1));`;

export const after = `
    const sent = Number(pm.collectionVariables.get('lamport')), received = Number(pm.response.headers.get('Lamport-Time'));
    pm.collectionVariables.set('lamport', String(Math.max(sent, received || 0) + 1));
    pm.test('the answer is later than the request', () => pm.expect(received).to.be.above(sent));
    pm.test('no fault', () => pm.expect(pm.response.code).to.be.below(500));
    if (pm.response.code >= 400) {
      pm.test('refusals are problems', () => {
        pm.expect(pm.response.headers.get('Content-Type')).to.include('application/problem+json');
        pm.expect(pm.response.json()).to.include({ status: pm.response.code });
      });
    }`;

const freshUser = `
    const suffix = Date.now().toString(36) + Math.random().toString(36).slice(2, 8);
    pm.collectionVariables.set('username', 'walker-' + suffix);
    pm.collectionVariables.set('password', 'secret-' + Math.random().toString(36).slice(2));`;

const keepAccount = `
    pm.collectionVariables.set('account', pm.response.json().account_number);`;

const keepOtherAccount = `
    pm.collectionVariables.set('other_account', pm.response.json().account_number);`;

const keepToken = `
    pm.collectionVariables.set('token', pm.response.json().token);`;

const keepOperation = `
    const operation = pm.response.json();
    pm.test('it has succeeded', () => pm.expect(operation.status).to.equal('succeeded'));
    pm.collectionVariables.set('operation_id', operation.id);`;

const balance = (script, amount) => `${script}
    pm.test('the balance', () => pm.expect(operation.result.account.balance).to.equal(${amount}));`;

// The admin's token is of use to operators alone, so they sign in when the first of their calls is made.
const adminSignsIn = `
    pm.sendRequest({
      url: pm.variables.get('baseUrl') + '/v1/sessions', method: 'POST', header: { 'Content-Type': 'application/json' },
      body: { mode: 'raw', raw: JSON.stringify({ username: 'admin', password: pm.variables.get('admin_password'), take_over: true }) },
    }, (error, response) => {
      if (error || response.code !== 201) throw new Error('the admin cannot sign in: set admin_password');
      pm.collectionVariables.set('admin_token', response.json().token);
    });`;

const problem = (code) => `
    pm.test('the code', () => pm.expect(pm.response.json().code).to.equal('${code}'));`;

const items = `
    pm.test('there are some', () => pm.expect(pm.response.json().items).to.not.be.empty);`;

const me = { username: '{{username}}', password: '{{password}}' };

export const steps = [
  { of: 'createUser', body: me, before: freshUser, expect: 201, after: keepAccount },
  { of: 'createUser', name: 'Register: the name is taken', body: me, expect: 409, after: problem('username_taken') },
  { of: 'createUser', name: 'Register: somebody to send money to', body: { ...me, username: '{{username}}-friend' }, expect: 201, after: keepOtherAccount },
  { of: 'createSession', name: 'Sign in: unknown name', body: { ...me, username: 'nobody-{{username}}' }, expect: 401, after: problem('unknown_username') },
  { of: 'createSession', name: 'Sign in: wrong password', body: { ...me, password: 'not-{{password}}' }, expect: 401, after: problem('wrong_password') },
  { of: 'createSession', body: me, expect: 201, after: keepToken },
  { of: 'createSession', name: 'Sign in: signed in already', body: me, expect: 409, after: problem('already_signed_in') },
  { of: 'createSession', name: 'Sign in: take over', body: { ...me, take_over: true }, expect: 201, after: keepToken },
  { of: 'getMe', expect: 200 },
  { of: 'listNotices', expect: 200 },

  { of: 'listAccounts', expect: 200, after: items },
  { of: 'createDeposit', body: { amount: 1000 }, expect: 200, after: balance(keepOperation, 1000) },
  { of: 'createWithdrawal', body: { amount: 850 }, expect: 200, after: balance(keepOperation, 150) },
  { of: 'createDeposit', name: 'Pay cash in: once more', body: { amount: 1400 }, expect: 200, after: balance(keepOperation, 1550) },
  { of: 'createTransfer', body: { from: '{{account}}', to: '{{other_account}}', amount: 550, reference: 'lunch' }, expect: 200, after: balance(keepOperation, 1000) },
  {
    of: 'createTransfer', name: 'Move money: more than there is', body: { from: '{{account}}', to: '{{other_account}}', amount: 1001 }, expect: 200,
    after: `
    const operation = pm.response.json();
    pm.test('it is rejected', () => pm.expect([operation.status, operation.problem.code]).to.eql(['rejected', 'insufficient_funds']));`,
  },
  {
    of: 'createTransfer', name: 'Move money: not waiting', header: { Prefer: 'respond-async' },
    body: { from: '{{account}}', to: '{{other_account}}', amount: 1 }, expect: 202,
    after: `
    pm.test('it can be polled', () => pm.expect(pm.response.headers.get('Location')).to.equal('/v1/operations/' + pm.response.json().id));
    pm.collectionVariables.set('operation_id', pm.response.json().id);`,
  },
  { of: 'createTransfer', name: 'Move money: to oneself', body: { from: '{{account}}', to: '{{account}}', amount: 1 }, expect: 422, after: problem('same_account') },
  { of: 'getOperation', expect: 200, after: balance(keepOperation, 999) },
  { of: 'listOperations', query: { kind: 'transfer', status: 'succeeded' }, expect: 200, after: items },
  { of: 'getAccount', expect: 200 },
  { of: 'getAccount', name: "Balance: somebody else's", path: { number: '{{other_account}}' }, expect: 404, after: problem('unknown_account') },
  { of: 'listEntries', query: { limit: '2' }, expect: 200, after: items },
  { of: 'getBalance', query: { operation: '{{operation_id}}' }, expect: 200 },
  { of: 'createFeedTicket', expect: 201 },

  { of: 'listLanes', before: adminSignsIn, expect: 200, after: items },
  { of: 'updateLane', path: { name: 'bank' }, body: { paused: false }, expect: 200 },
  { of: 'replayOperation', expect: 409, after: problem('not_replayable') },
  { of: 'getAudit', expect: 200, after: `
    pm.test('the books hold', () => pm.expect(pm.response.json().holds).to.equal(true));` },
];

export const end = [
  { of: 'deleteCurrentSession', expect: 204 },
  { of: 'getMe', name: 'Who am I: signed out', expect: 401, after: problem('unauthorized') },
];

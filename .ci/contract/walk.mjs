// The walk that the Postman collection makes, from sign-up to sign-out: the order of the requests, what is filled in, and what is expected.
// A step is {of: operationId, folder?, name?, path?, query?, header?, body?, file?, expect?, before?, after?}; before and after are scripts of Postman's.
// folder is where the step stands, if not under the operation's tag.
// An operation without a step is called once with the examples of the contract, and must answer with a status that it declares.

export const description = `
Run it from the top: it registers a user of its own each time. Set \`baseUrl\` to the server and, for the operators' calls, \`admin_password\`.
Made from openapi.yaml; do not edit it.`;

export const variables = {
  baseUrl: 'http://127.0.0.1:8080', admin_password: '',
  username: '', password: '', account: '', other_account: '', symbol: '', token: '', admin_token: '', operation_id: '', order_id: '',
  trip: '', purchase_id: '', event: '', reservation_id: '', code: '', etag: '', room: '', room_name: '', message: '', game: '', lamport: '0',
};

// Values of parameters, wherever they occur. Optional ones that are named neither here nor in a step are left out.
export const parameters = {
  'Lamport-Time': '{{lamport}}', 'Idempotency-Key': '{{$guid}}', Prefer: 'wait=5',
  number: '{{account}}', id: '{{operation_id}}', symbol: '{{symbol}}', code: '{{code}}', limit: '50', wait: '5',
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

// The admin's token is of use for few calls, so they sign in when the first of them is made.
const adminSignsIn = `
    pm.sendRequest({
      url: pm.variables.get('baseUrl') + '/v1/sessions', method: 'POST', header: { 'Content-Type': 'application/json' },
      body: { mode: 'raw', raw: JSON.stringify({ username: 'admin', password: pm.variables.get('admin_password'), take_over: true }) },
    }, (error, response) => {
      if (error || response.code !== 201) throw new Error('the admin cannot sign in: set admin_password');
      pm.collectionVariables.set('admin_token', response.json().token);
    });`;

const freshSymbol = `${adminSignsIn}
    pm.collectionVariables.set('symbol', 'W' + (Date.now().toString(36) + Math.random().toString(36).slice(2)).slice(-11).toUpperCase());`;

const freshRoom = `${adminSignsIn}
    pm.collectionVariables.set('room_name', 'Room of ' + pm.collectionVariables.get('username'));`;

const result = (script, title, actual, expected) => `${script}
    pm.test('${title}', () => pm.expect(${actual}).to.eql(${JSON.stringify(expected)}));`;

const order = (script, ...expected) => result(script, 'the order', '[operation.result.status, operation.result.filled_quantity, operation.result.remaining_quantity]', expected);

const keepOrder = `${keepOperation}
    pm.collectionVariables.set('order_id', operation.result.id);`;

// What a request has made gets a name for those that follow.
const keep = (variable) => `
    pm.collectionVariables.set('${variable}', pm.response.json().id);`;

const keepResult = (variable) => `${keepOperation}
    pm.collectionVariables.set('${variable}', operation.result.id);`;

const purchase = (script, ...expected) => result(script, 'the purchase', '[operation.result.status, operation.result.total, operation.result.refunded, operation.result.tickets.length]', expected);

const seats = (...expected) => answers('the map', 'answer.sections.flatMap((s) => s.rows)', expected);

const rejected = (code) => `
    const operation = pm.response.json();
    pm.test('it is rejected', () => pm.expect([operation.status, operation.problem.code]).to.eql(['rejected', '${code}']));`;

const answers = (title, actual, expected) => `
    const answer = pm.response.json();
    pm.test('${title}', () => pm.expect(${actual}).to.eql(${JSON.stringify(expected)}));`;

const problem = (code) => `
    pm.test('the code', () => pm.expect(pm.response.json().code).to.equal('${code}'));`;

const items = `
    pm.test('there are some', () => pm.expect(pm.response.json().items).to.not.be.empty);`;

const me = { username: '{{username}}', password: '{{password}}' };
const friend = { ...me, username: '{{username}}-friend' };

const trip = { name: 'Night train', departs_at: '2030-01-15T21:30:00Z', refund_bps: 5000, classes: [{ name: 'seat', price: 1900, stock: 40 }] };
const ask = (quantity) => ({ trip: '{{trip}}', class: 'seat', quantity });
const concert = {
  name: 'Chamber music', starts_at: '2030-03-01T19:30:00Z', max_per_user: 4,
  sections: [{ name: 'A', rows: 2, seats_per_row: 4, price: 4500 }, { name: 'B', rows: 1, seats_per_row: 3, price: 2500 }],
};

export const steps = [
  { of: 'createUser', body: me, before: freshUser, expect: 201, after: keepAccount },
  { of: 'createUser', name: 'Register: the name is taken', body: me, expect: 409, after: problem('username_taken') },
  { of: 'createUser', name: 'Register: somebody to send money to', body: friend, expect: 201, after: keepOtherAccount },
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
    after: rejected('insufficient_funds'),
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

  { of: 'createSymbol', before: freshSymbol, body: { symbol: '{{symbol}}', name: 'Walkers', tick: 2, lot: 1 }, expect: 201 },
  { of: 'createSymbol', name: 'List a symbol: it is listed', body: { symbol: '{{symbol}}', name: 'Walkers', tick: 2, lot: 1 }, expect: 409, after: problem('symbol_taken') },
  { of: 'listSymbols', expect: 200, after: items },
  { of: 'getSymbol', expect: 200, after: answers('the fee is 10 %', 'answer.fee_bps', 1000) },
  { of: 'getSymbol', name: 'One symbol: there is none', path: { symbol: 'NONE' }, expect: 404, after: problem('unknown_symbol') },
  { of: 'createIssue', body: { account: '{{account}}', quantity: 100 }, expect: 200, after: result(keepOperation, 'the holding', 'operation.result.holding.quantity', 100) },
  { of: 'createOrder', name: 'Sell 50 at 32', body: { symbol: '{{symbol}}', side: 'sell', quantity: 50, price: 32 }, expect: 200, after: order(keepOrder, 'open', 0, 50) },
  { of: 'createOrder', name: 'Sell more than there is', body: { symbol: '{{symbol}}', side: 'sell', quantity: 51, price: 32 }, expect: 200, after: rejected('insufficient_shares') },
  { of: 'createOrder', name: 'Buy: not at this price', body: { symbol: '{{symbol}}', side: 'buy', quantity: 1, price: 31 }, expect: 200, after: rejected('invalid_tick') },
  { of: 'createOrder', name: 'Buy at no price', body: { symbol: '{{symbol}}', side: 'buy', quantity: 1 }, expect: 422, after: problem('invalid') },
  { of: 'createOrder', name: 'Buy from oneself', body: { symbol: '{{symbol}}', side: 'buy', quantity: 1, price: 32 }, expect: 200, after: order(keepOperation, 'cancelled', 0, 0) },
  { of: 'getBook', expect: 200, after: answers('the offer', 'answer.asks', [{ price: 32, quantity: 50, orders: 1 }]) },

  { of: 'createSession', folder: 'exchange', name: 'Sign in: the friend', body: friend, expect: 201, after: keepToken },
  { of: 'createDeposit', folder: 'exchange', name: 'Pay cash in: the friend', path: { number: '{{other_account}}' }, body: { amount: 5000 }, expect: 200, after: keepOperation },
  { of: 'createOrder', name: 'Buy 50 at 32: filled at once', body: { symbol: '{{symbol}}', side: 'buy', quantity: 50, price: 32 }, expect: 200, after: order(keepOperation, 'filled', 50, 0) },
  { of: 'listHoldings', expect: 200, after: answers('50 shares', 'answer.items.map((h) => h.quantity)', [50]) },
  { of: 'getOrder', name: "One order: somebody else's", path: { id: '{{order_id}}' }, expect: 404, after: problem('unknown_order') },
  { of: 'deleteCurrentSession', folder: 'exchange', name: 'Sign out: the friend', expect: 204 },
  { of: 'createSession', folder: 'exchange', name: 'Sign in: back again', body: { ...me, take_over: true }, expect: 201, after: keepToken },

  { of: 'getOrder', path: { id: '{{order_id}}' }, expect: 200, after: answers('it is filled', '[answer.status, answer.filled_quantity]', ['filled', 50]) },
  { of: 'listFills', query: { order: '{{order_id}}' }, expect: 200, after: answers('1600 less 160', 'answer.items.map((f) => [f.quantity * f.price, f.fee, f.liquidity])', [[1600, 160, 'maker']]) },
  { of: 'listTrades', expect: 200, after: answers('one trade', 'answer.items.map((t) => [t.price, t.quantity, t.taker_side])', [[32, 50, 'buy']]) },
  { of: 'listCandles', query: { interval: '1d' }, expect: 200, after: answers('one candle', 'answer.items.map((c) => [c.open, c.close, c.volume, c.trades])', [[32, 32, 50, 1]]) },
  { of: 'createOrder', name: 'Sell 10 at 40', body: { symbol: '{{symbol}}', side: 'sell', quantity: 10, price: 40 }, expect: 200, after: order(keepOrder, 'open', 0, 10) },
  { of: 'deleteOrder', path: { id: '{{order_id}}' }, expect: 200, after: order(keepOperation, 'cancelled', 0, 0) },
  { of: 'deleteOrder', name: 'Cancel an order: it is cancelled', path: { id: '{{order_id}}' }, expect: 200, after: rejected('order_not_open') },
  { of: 'createOrder', name: 'Sell 10 at 50', body: { symbol: '{{symbol}}', side: 'sell', quantity: 10, price: 50 }, expect: 200, after: order(keepOperation, 'open', 0, 10) },
  { of: 'deleteOrders', expect: 200, after: result(keepOperation, 'one', 'operation.result.cancelled_orders', 1) },
  { of: 'listOrders', query: { status: 'open' }, expect: 200, after: answers('none is open', 'answer.items', []) },
  { of: 'updateSymbol', body: { halted: true }, expect: 200 },
  { of: 'createOrder', name: 'Sell: halted', body: { symbol: '{{symbol}}', side: 'sell', quantity: 1, price: 32 }, expect: 200, after: rejected('symbol_halted') },

  { of: 'createDeposit', folder: 'trips', name: 'Pay cash in: for tickets and seats', body: { amount: 100_000 }, expect: 200, after: keepOperation },
  { of: 'createTrip', before: adminSignsIn, body: trip, expect: 201, after: keep('trip') },
  { of: 'listTrips', query: { status: 'open' }, expect: 200, after: items },
  { of: 'getTrip', path: { id: '{{trip}}' }, expect: 200, after: answers('40 are left', 'answer.classes.map((c) => [c.stock, c.available])', [[40, 40]]) },
  { of: 'createPurchase', name: 'Ask for the price of two', body: ask(2), expect: 200, after: purchase(keepResult('purchase_id'), 'held', 3800, 0, 0) },
  { of: 'createPurchase', name: 'Ask for more than there are', body: ask(39), expect: 200, after: rejected('not_enough_stock') },
  { of: 'createPurchase', name: 'Ask for a class that there is not', body: { ...ask(1), class: 'saloon' }, expect: 200, after: rejected('unknown_class') },
  { of: 'createPurchase', name: 'Ask for none', body: ask(0), expect: 200, after: rejected('invalid_quantity') },
  { of: 'confirmPurchase', path: { id: '{{purchase_id}}' }, expect: 200, after: purchase(keepOperation, 'paid', 3800, 0, 2) },
  { of: 'confirmPurchase', name: 'Pay: it is paid', path: { id: '{{purchase_id}}' }, expect: 200, after: rejected('purchase_not_held') },
  { of: 'getPurchase', path: { id: '{{purchase_id}}' }, expect: 200, after: answers('two tickets', '[answer.status, answer.tickets.length]', ['paid', 2]) },
  { of: 'deletePurchase', name: 'Refund', path: { id: '{{purchase_id}}' }, expect: 200, after: purchase(keepOperation, 'refunded', 3800, 1900, 0) },
  { of: 'deletePurchase', name: 'Refund: it is refunded', path: { id: '{{purchase_id}}' }, expect: 200, after: rejected('purchase_ended') },
  { of: 'createPurchase', name: 'Buy one at once', body: { ...ask(1), confirm: true }, expect: 200, after: purchase(keepOperation, 'paid', 1900, 0, 1) },
  { of: 'updateTrip', path: { id: '{{trip}}' }, body: { status: 'closed', classes: [{ name: 'seat', stock: 1 }] }, expect: 200 },
  { of: 'updateTrip', name: 'Change a trip: fewer than are sold', path: { id: '{{trip}}' }, body: { classes: [{ name: 'seat', stock: 0 }] }, expect: 409, after: problem('stock_in_use') },
  { of: 'createPurchase', name: 'Ask for one: closed', body: ask(1), expect: 200, after: rejected('trip_closed') },
  { of: 'listPurchases', query: { trip: '{{trip}}' }, expect: 200, after: answers('newest first', 'answer.items.map((p) => p.status)', ['paid', 'refunded']) },
  { of: 'getPurchase', name: 'One purchase: there is none', path: { id: '{{trip}}' }, expect: 404, after: problem('unknown_purchase') },

  { of: 'createEvent', before: adminSignsIn, body: concert, expect: 201, after: keep('event') },
  { of: 'listEvents', expect: 200, after: items },
  { of: 'getEvent', path: { id: '{{event}}' }, expect: 200, after: answers('no waiting room', 'answer.waiting_room', null) },
  { of: 'createReservation', name: 'Reserve two seats by name', path: { id: '{{event}}' }, body: { seats: ['A-1-1', 'A-1-2'] }, expect: 201, after: keep('reservation_id') },
  { of: 'createReservation', name: 'Reserve seats: one is taken', path: { id: '{{event}}' }, body: { seats: ['A-1-2', 'A-1-3'] }, expect: 409, after: problem('seat_taken') },
  { of: 'createReservation', name: 'Reserve seats: there is none of the name', path: { id: '{{event}}' }, body: { seats: ['A-9-1'] }, expect: 422, after: problem('unknown_seat') },
  { of: 'createReservation', name: 'Reserve seats: more than one may have', path: { id: '{{event}}' }, body: { quantity: 3, section: 'A' }, expect: 409, after: problem('seat_limit') },
  { of: 'getSeats', path: { id: '{{event}}' }, expect: 200, after: `${seats('hh..', '....', '...')}
    pm.collectionVariables.set('etag', pm.response.headers.get('ETag'));` },
  { of: 'getSeats', name: 'The seat map: nothing has changed', path: { id: '{{event}}' }, header: { 'If-None-Match': '{{etag}}' }, expect: 304 },
  { of: 'getReservation', path: { id: '{{reservation_id}}' }, expect: 200, after: answers('it is held', '[answer.status, answer.total]', ['held', 9000]) },
  { of: 'payReservation', path: { id: '{{reservation_id}}' }, expect: 200, after: `${result(keepOperation, 'it is paid', '[operation.result.status, operation.result.tickets.length]', ['paid', 2])}
    pm.collectionVariables.set('code', operation.result.tickets[0]);` },
  { of: 'payReservation', name: 'Pay: it is paid', path: { id: '{{reservation_id}}' }, expect: 200, after: rejected('reservation_not_held') },
  { of: 'listReservations', query: { event: '{{event}}', status: 'paid' }, expect: 200, after: items },
  { of: 'listTickets', query: { event: '{{event}}' }, expect: 200, after: answers('two', 'answer.items.map((t) => t.status)', ['valid', 'valid']) },
  { of: 'getTicketPicture', expect: 200, after: `
    pm.test('it is a PNG', () => pm.expect(pm.response.headers.get('Content-Type')).to.equal('image/png'));` },
  { of: 'createReservation', name: 'Reserve the best two together', path: { id: '{{event}}' }, body: { section: 'B', quantity: 2 }, expect: 201, after: keep('reservation_id') },
  { of: 'deleteReservation', name: 'Release', path: { id: '{{reservation_id}}' }, expect: 200, after: answers('it is released', 'answer.status', 'released') },
  { of: 'deleteReservation', name: 'Release again', path: { id: '{{reservation_id}}' }, expect: 200, after: answers('it is released', 'answer.status', 'released') },
  { of: 'createReservation', name: 'Reserve one of section B', path: { id: '{{event}}' }, body: { section: 'B', quantity: 1 }, expect: 201, after: keep('reservation_id') },
  { of: 'payReservation', name: 'Pay for it', path: { id: '{{reservation_id}}' }, expect: 200, after: result(keepOperation, 'it is paid', 'operation.result.status', 'paid') },
  { of: 'deleteReservation', name: 'Refund', path: { id: '{{reservation_id}}' }, expect: 200, after: result(keepOperation, 'it is refunded', 'operation.result.status', 'refunded') },
  { of: 'deleteReservation', name: 'Refund: it is refunded', path: { id: '{{reservation_id}}' }, expect: 409, after: problem('reservation_ended') },
  { of: 'checkInTicket', before: adminSignsIn, body: { gate: 'North 2' }, expect: 200, after: answers('it is used', '[answer.status, answer.used_where]', ['used', 'North 2']) },
  { of: 'checkInTicket', name: 'Let somebody in: the second time', body: { gate: 'South' }, expect: 409, after: problem('ticket_used') },
  { of: 'updateEvent', path: { id: '{{event}}' }, body: { waiting_room: { rate: 10, window_seconds: 120 } }, expect: 200 },
  { of: 'getPlaceInWaitingRoom', path: { id: '{{event}}' }, expect: 200, after: answers('nobody has to wait', 'answer.state', 'open') },

  { of: 'createRoom', before: freshRoom, body: { name: '{{room_name}}', topic: 'The walk' }, expect: 201, after: keep('room') },
  { of: 'createRoom', name: 'Open a room: its name is taken', body: { name: '{{room_name}}' }, expect: 409, after: problem('room_exists') },
  { of: 'listRooms', expect: 200, after: items },
  { of: 'getRoom', name: 'The lobby', path: { id: 'lobby' }, expect: 200, after: answers('its id', 'answer.id', 'lobby') },
  { of: 'getRoom', name: 'One room: there is none', path: { id: '{{event}}' }, expect: 404, after: problem('unknown_room') },
  { of: 'postMessage', name: 'Say something: from outside', path: { id: '{{room}}' }, body: { text: 'Hello?' }, expect: 409, after: problem('not_a_member') },
  { of: 'enterRoom', path: { id: '{{room}}' }, expect: 200 },
  { of: 'listMembers', path: { id: '{{room}}' }, expect: 200, after: items },
  { of: 'postMessage', path: { id: '{{room}}' }, body: { text: 'Hello' }, expect: 201, after: `${keep('message')}
    pm.test('the first', () => pm.expect(pm.response.json().sequence).to.equal(1));` },
  { of: 'postMessage', name: 'Say nothing that shows', path: { id: '{{room}}' }, body: { text: ' ' }, expect: 422, after: problem('invalid') },
  { of: 'getMessage', path: { id: '{{room}}', message: '{{message}}' }, expect: 200, after: answers('its text', 'answer.text', 'Hello') },
  { of: 'editMessage', path: { id: '{{room}}', message: '{{message}}' }, body: { text: 'Good evening' }, expect: 200, after: answers('its text', 'answer.text', 'Good evening') },
  { of: 'deleteMessage', path: { id: '{{room}}', message: '{{message}}' }, expect: 200, after: answers('no text is left', 'answer.text', '') },
  { of: 'editMessage', name: 'Correct what is deleted', path: { id: '{{room}}', message: '{{message}}' }, body: { text: 'No' }, expect: 409, after: problem('message_deleted') },
  { of: 'listMessages', path: { id: '{{room}}' }, query: { after: '0' }, expect: 200, after: items },
  { of: 'uploadFile', path: { id: '{{room}}' }, file: { name: 'notes.txt', content: 'Remember the milk.' }, expect: 201, after: answers('its size', 'answer.size', 18) },
  { of: 'uploadFile', name: 'Upload a file: its name is taken', path: { id: '{{room}}' }, file: { name: 'notes.txt', content: 'Remember the bread.' }, expect: 409, after: problem('file_exists') },
  { of: 'listFiles', path: { id: '{{room}}' }, expect: 200, after: items },
  { of: 'downloadFile', path: { id: '{{room}}', name: 'notes.txt' }, expect: 200, after: `
    pm.test('the content', () => pm.expect(pm.response.text()).to.equal('Remember the milk.'));` },
  { of: 'downloadFile', name: 'Download a part', path: { id: '{{room}}', name: 'notes.txt' }, header: { Range: 'bytes=13-16' }, expect: 206, after: `
    pm.test('the part', () => pm.expect(pm.response.text()).to.equal('milk'));` },
  { of: 'deleteFile', path: { id: '{{room}}', name: 'notes.txt' }, expect: 204 },
  { of: 'downloadFile', name: 'Download a file: it is deleted', path: { id: '{{room}}', name: 'notes.txt' }, expect: 404, after: problem('unknown_file') },
  { of: 'inviteToGame', path: { id: '{{room}}' }, body: { move_seconds: 300 }, expect: 201, after: keep('game') },
  { of: 'inviteToGame', name: 'Invite twice', path: { id: '{{room}}' }, body: {}, expect: 409, after: problem('already_waiting') },
  { of: 'acceptGame', name: 'Accept an invitation: one\'s own', path: { id: '{{game}}' }, expect: 409, after: problem('own_game') },
  { of: 'makeMove', name: 'Place a stone: nobody has accepted', path: { id: '{{game}}' }, body: { row: 7, column: 7 }, expect: 409, after: problem('not_playing') },
  { of: 'getGame', path: { id: '{{game}}' }, expect: 200, after: answers('it waits', '[answer.status, answer.grid.length]', ['invited', 15]) },

  { of: 'createSession', folder: 'chat', name: 'Sign in: the friend', body: friend, expect: 201, after: keepToken },
  { of: 'acceptGame', name: 'Accept an invitation: from outside', path: { id: '{{game}}' }, expect: 409, after: problem('not_a_member') },
  { of: 'enterRoom', name: 'Enter: the friend', path: { id: '{{room}}' }, expect: 200 },
  { of: 'acceptGame', path: { id: '{{game}}' }, expect: 200, after: answers('it is played', 'answer.status', 'playing') },
  { of: 'makeMove', name: "Place a stone: it is the other's turn", path: { id: '{{game}}' }, body: { row: 7, column: 7 }, expect: 409, after: problem('not_your_turn') },
  { of: 'deleteCurrentSession', folder: 'chat', name: 'Sign out: the friend', expect: 204 },
  { of: 'createSession', folder: 'chat', name: 'Sign in: back again', body: { ...me, take_over: true }, expect: 201, after: keepToken },
  { of: 'makeMove', path: { id: '{{game}}' }, body: { row: 7, column: 7 }, expect: 200, after: answers('one move', 'answer.moves', [{ row: 7, column: 7 }]) },
  { of: 'leaveGame', path: { id: '{{game}}' }, expect: 200, after: answers('it has ended', '[answer.status, answer.reason]', ['ended', 'resignation']) },
  { of: 'listGames', path: { id: '{{room}}' }, query: { status: 'ended' }, expect: 200, after: items },
  { of: 'getPlayer', path: { username: '{{username}}' }, expect: 200, after: answers('one lost', '[answer.won, answer.lost]', [0, 1]) },
  { of: 'moderateMember', before: adminSignsIn, path: { id: '{{room}}', username: '{{username}}' }, body: { muted_until: '2099-01-01T00:00:00Z' }, expect: 200 },
  { of: 'kickMember', path: { id: '{{room}}', username: '{{username}}' }, expect: 204 },
  { of: 'createAnnouncement', body: { text: 'The walk is nearly over.' }, expect: 201 },
  { of: 'listAnnouncements', folder: 'operators', expect: 200, after: items },
  { of: 'leaveRoom', path: { id: '{{room}}' }, expect: 204 },

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

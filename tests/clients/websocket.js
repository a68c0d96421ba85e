// WebSocket by npm's ws: a server that echoes, and a client that judges the way to it.
//
// usage: websocket.js serve HOST PORT | check HOST PORT [CERTIFICATE]
// `ws` is found by NODE_PATH. The checks print one line each.
'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const fs = require('node:fs');
const WebSocket = require('ws');

async function serve(host, port) {
  const server = new WebSocket.Server({
    host,
    port,
    maxPayload: 64 << 20,
    handleProtocols: (offered) => (offered.has('echo') ? 'echo' : false),
    verifyClient: ({ req }, done) => done(!req.url.startsWith('/refused'), 403, 'no'),
  });
  server.on('connection', (socket, request) => {
    socket.send(`path ${request.url}`);
    socket.on('message', (data, binary) => {
      if (data.toString() === 'close me') return socket.close(4001, 'as you wish');
      socket.send(data, { binary });
    });
    socket.on('error', () => {});
  });
  await once(server, 'listening');
  console.log('ready');
}

/** The next messages, in order. */
function inbox(socket) {
  const waiting = [];
  const came = [];
  socket.on('message', (data) => (waiting.length ? waiting.shift()(data) : came.push(data)));
  return () => (came.length ? came.shift() : new Promise((done) => waiting.push(done)));
}

const options = { perMessageDeflate: false, maxPayload: 64 << 20 };

async function open(url, protocols) {
  const socket = new WebSocket(url, protocols, options);
  const next = inbox(socket);
  await once(socket, 'open');
  return { socket, next };
}

const checks = {
  async greeting(url) {
    const { socket, next } = await open(`${url}/chat?room=1`, ['echo']);
    assert.strictEqual((await next()).toString(), 'path /chat?room=1');
    assert.strictEqual(socket.protocol, 'echo');
    socket.close();
    await once(socket, 'close');
  },
  async messages(url) {
    const { socket, next } = await open(`${url}/`);
    await next();
    for (const size of [0, 1, 125, 126, 65535, 65536, 8 << 20]) {
      const data = Buffer.alloc(size, size % 251);
      socket.send(data);
      assert.ok(data.equals(await next()), `a message of ${size} bytes`);
    }
    socket.close();
    await once(socket, 'close');
  },
  async many(url) {
    const { socket, next } = await open(`${url}/`);
    await next();
    for (let number = 0; number < 2000; number += 1) socket.send(`${number}`);
    for (let number = 0; number < 2000; number += 1) {
      assert.strictEqual((await next()).toString(), `${number}`);
    }
    socket.close();
    await once(socket, 'close');
  },
  async pings(url) {
    const { socket } = await open(`${url}/`);
    for (let number = 0; number < 50; number += 1) {
      socket.ping(`${number}`);
      const [data] = await once(socket, 'pong');
      assert.strictEqual(data.toString(), `${number}`);
    }
    socket.terminate();
  },
  async closing(url) {
    const { socket } = await open(`${url}/`);
    socket.send('close me');
    const [code, reason] = await once(socket, 'close');
    assert.deepStrictEqual([code, reason.toString()], [4001, 'as you wish']);
  },
  async refused(url) {
    const socket = new WebSocket(`${url}/refused`, options);
    socket.on('error', () => {});
    const [, response] = await once(socket, 'unexpected-response');
    assert.strictEqual(response.statusCode, 403);
    socket.terminate();
  },
  async together(url) {
    const all = Array.from({ length: 50 }, async (_, number) => {
      const { socket, next } = await open(`${url}/${number}`);
      assert.strictEqual((await next()).toString(), `path /${number}`);
      for (let turn = 0; turn < 20; turn += 1) {
        socket.send(`${number} ${turn}`);
        assert.strictEqual((await next()).toString(), `${number} ${turn}`);
      }
      socket.close();
      await once(socket, 'close');
    });
    await Promise.all(all);
  },
};

async function check(host, port, trusted) {
  if (trusted) Object.assign(options, { ca: fs.readFileSync(trusted), servername: 'a.test' });
  for (const [name, run] of Object.entries(checks)) {
    await run(`${trusted ? 'wss' : 'ws'}://${host}:${port}`);
    console.log(name);
  }
}

const [, , verb, host, port, trusted] = process.argv;
({ serve, check })[verb](host, Number(port), trusted).catch((error) => {
  console.error(error);
  process.exit(1);
});

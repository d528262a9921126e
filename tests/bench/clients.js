// The two sides as the driver calls them: the incumbent in a forked process, and Shotline over HTTP.
'use strict';
const { fork } = require('node:child_process');
const http = require('node:http');
const path = require('node:path');

const WATCH = '/shotline.sequence_file.v1.SequenceFileService/WatchProject';
const LAST = 2; // flag of the message that ends a Connect stream

function incumbent() {
  const child = fork(path.join(__dirname, 'incumbent.js'));
  const waiting = new Map();
  let calls = 0;
  child.on('message', ({ call, value, error }) => {
    const { resolve, reject } = waiting.get(call);
    waiting.delete(call);
    error ? reject(new Error(error)) : resolve(value);
  });
  return {
    call: (method, ...args) =>
      new Promise((resolve, reject) => {
        waiting.set(++calls, { resolve, reject });
        child.send({ call: calls, method, args });
      }),
    close: () => child.kill(),
  };
}

function shotline({ url, token }) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  const { hostname, port } = new URL(url);
  const begin = (where, type, body, answered) =>
    http.request(
      {
        agent,
        hostname,
        port,
        path: where,
        method: 'POST',
        headers: { 'content-type': type, 'content-length': body.length, authorization: `Bearer ${token}` },
      },
      answered,
    );

  const call = (channel, ...args) =>
    new Promise((resolve, reject) => {
      const body = Buffer.from(JSON.stringify(args));
      const request = begin(`/ipc/${channel}`, 'application/json', body, (response) => {
        const pieces = [];
        response.on('data', (piece) => pieces.push(piece));
        response.on('end', () => {
          const answer = JSON.parse(Buffer.concat(pieces).toString('utf8'));
          answer.success ? resolve(answer) : reject(new Error(JSON.stringify(answer)));
        });
      });
      request.on('error', reject);
      request.end(body);
    });

  // Follows a project as a Connect stream: `heard(change)` for each change. Resolves once the watch has begun.
  const watch = (project, heard) =>
    new Promise((resolve, reject) => {
      const message = Buffer.from(JSON.stringify({ projectPath: project }));
      const body = Buffer.concat([Buffer.from([0]), Buffer.alloc(4), message]);
      body.writeUInt32BE(message.length, 1);
      const request = begin(WATCH, 'application/connect+json', body, (response) => {
        let rest = Buffer.alloc(0);
        response.on('data', (piece) => {
          rest = Buffer.concat([rest, piece]);
          while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
            const end = 5 + rest.readUInt32BE(1);
            const answer = JSON.parse(rest.subarray(5, end).toString('utf8'));
            if (rest[0] & LAST || response.statusCode !== 200) reject(new Error(JSON.stringify(answer)));
            else if (answer.change) heard(answer.change);
            else resolve(() => request.destroy());
            rest = rest.subarray(end);
          }
        });
        response.on('end', () => reject(new Error(`the watch ended: ${response.statusCode}`)));
        response.on('error', () => {}); // it was destroyed by whoever watched
      });
      request.on('error', reject);
      request.end(body);
    });

  return { call, watch, close: () => agent.destroy() };
}

module.exports = { incumbent, shotline };

// Times one piece of work against the incumbent and against Shotline, in turn, from one client.
// Reads a job as JSON from standard input and writes the times in milliseconds as JSON.
'use strict';
const { fork } = require('node:child_process');
const http = require('node:http');
const path = require('node:path');

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
    call: (method, args) =>
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
  const call = (channel, args) =>
    new Promise((resolve, reject) => {
      const body = Buffer.from(JSON.stringify(args));
      const request = http.request(
        {
          agent,
          hostname,
          port,
          path: `/ipc/${channel}`,
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            'content-length': body.length,
            authorization: `Bearer ${token}`,
          },
        },
        (response) => {
          const pieces = [];
          response.on('data', (piece) => pieces.push(piece));
          response.on('end', () => {
            const answer = JSON.parse(Buffer.concat(pieces).toString('utf8'));
            answer.success ? resolve(answer) : reject(new Error(JSON.stringify(answer)));
          });
        },
      );
      request.on('error', reject);
      request.end(body);
    });
  return { call, close: () => agent.destroy() };
}

const CHANNELS = { updateShot: 'sequence:update-shot', getShots: 'sequence:get-shots', getAll: 'sequence:get-all' };
let edits = 0;

function arguments_(work, project) {
  if (work.method === 'getAll') return [project];
  if (work.method === 'getShots') return [project, '001'];
  return [project, '001', work.shot, { generation: { prompt: `take ${++edits} of a walk at dawn` } }];
}

async function timed(count, one) {
  const times = [];
  for (let i = 0; i < count; i++) {
    const began = process.hrtime.bigint();
    await one();
    times.push(Number(process.hrtime.bigint() - began) / 1e6);
  }
  return times;
}

async function sideBySide(work, theirs, ours) {
  const their = [];
  const our = [];
  for (let round = 0; round <= work.rounds; round++) {
    // A new folder for each round, where the work asks for one that nobody has read yet.
    const [mine, others] = work.projects[round % work.projects.length];
    const a = await timed(work.count, () => theirs.call(work.method, arguments_(work, others)));
    const b = await timed(work.count, () => ours.call(CHANNELS[work.method], arguments_(work, mine)));
    if (round > 0) {
      their.push(a); // the first round warms both up
      our.push(b);
    }
  }
  return { theirs: their, ours: our };
}

async function together(work, ours) {
  const [[project]] = work.projects;
  const rounds = { alone: [], together: [], lost: 0 };
  for (let round = 0; round <= work.rounds; round++) {
    const alone = await timed(work.count, () =>
      ours.call('sequence:update-shot', [project, '001', work.shot, { generation: { prompt: `alone ${++edits}` } }]),
    );
    const began = process.hrtime.bigint();
    await Promise.all(
      Array.from({ length: 64 }, (_, i) =>
        ours.call('sequence:update-shot', [project, '001', `shot-${i}`, { note: `round ${round} ${i}` }]),
      ),
    );
    const took = Number(process.hrtime.bigint() - began) / 1e6 / 64;
    const { shots } = await ours.call('sequence:get-shots', [project, '001']);
    rounds.lost += Array.from({ length: 64 }, (_, i) => shots[i].note !== `round ${round} ${i}`).filter(Boolean).length;
    if (round > 0) {
      rounds.alone.push(alone);
      rounds.together.push(took);
    }
  }
  return rounds;
}

async function main() {
  let text = '';
  for await (const piece of process.stdin) text += piece;
  const job = JSON.parse(text);
  const ours = shotline(job);
  const theirs = incumbent();
  const answer = job.work.method === 'together' ? await together(job.work, ours) : await sideBySide(job.work, theirs, ours);
  theirs.close();
  ours.close();
  process.stdout.write(JSON.stringify(answer));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

// Times one piece of work against the incumbent and against Shotline, in turn, from one client.
// Reads a job as JSON from standard input and writes the times in milliseconds as JSON.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { incumbent, shotline } = require('./clients.js');
const { latencies, outside } = require('./watching.js');

const MANY = 50;
let edits = 0;
const edited = () => ({ generation: { prompt: `take ${++edits} of a walk at dawn` } });
const added = (turn) => ({ id: `added-${turn}`, type: 'close', ...edited(), timing: { duration: 5 } });

// What each side does for one timing. `turn` counts the times on that side; `at` is an index in the middle.
const WORKS = {
  updateShot: {
    ours: (call, project, { shot }) => call('sequence:update-shot', project, '001', shot, edited()),
    theirs: (call, project, { shot }) => call('updateShot', project, '001', shot, edited()),
  },
  getShots: {
    ours: (call, project) => call('sequence:get-shots', project, '001'),
    theirs: (call, project) => call('getShots', project, '001'),
  },
  getAll: {
    ours: (call, project) => call('sequence:get-all', project),
    theirs: (call, project) => call('getAll', project),
  },
  createShot: {
    ours: (call, project, { at }, turn) => call('shot:create', project, '001', added(turn), { index: at }),
    theirs: (call, project, { at }, turn) => call('createShot', project, '001', added(turn), at),
  },
  // Of the shot that was created in the same turn.
  deleteShot: {
    ours: (call, project, _, turn) => call('shot:delete', target(project, '001', `added-${turn}`)),
    theirs: (call, project, _, turn) => call('deleteShot', project, '001', `added-${turn}`),
  },
  // To the first place and back again.
  moveWithin: {
    ours: (call, project, { shot, at }, turn) =>
      call('shot:move', target(project, '001', shot), { index: turn % 2 ? at : 0 }),
    theirs: (call, project, { shot, at }, turn) =>
      call('moveShot', project, '001', shot, '001', turn % 2 ? at : 0),
  },
  // Into the second sequence and back again.
  moveBetween: {
    ours: (call, project, { shot, at }, turn) => {
      const [from, to] = turn % 2 ? ['002', '001'] : ['001', '002'];
      return call('shot:move', target(project, from, shot), { sequenceId: to, index: at });
    },
    theirs: (call, project, { shot, at }, turn) => {
      const [from, to] = turn % 2 ? ['002', '001'] : ['001', '002'];
      return call('moveShot', project, from, shot, to, at);
    },
  },
  updateMany: {
    ours: async (call, project) => {
      const many = Array.from({ length: MANY }, (_, i) => ({
        sequenceId: '001',
        shotId: `shot-${i}`,
        updates: edited(),
      }));
      const { results } = await call('shot:update-many', project, many);
      if (!results.every((each) => each.success)) throw new Error('an edit was refused');
    },
    theirs: async (call, project) => {
      for (let i = 0; i < MANY; i++) await call('updateShot', project, '001', `shot-${i}`, edited());
    },
  },
};

const target = (projectPath, sequenceId, shotId) => ({ projectPath, sequenceId, shotId });

async function sideBySide(work, theirs, ours) {
  const times = Object.fromEntries(work.methods.map((method) => [method, { ours: [], theirs: [] }]));
  const turns = { ours: 0, theirs: 0 };

  // The methods one after the other, so many times: the times by method.
  async function timed(side, call, project) {
    const took = Object.fromEntries(work.methods.map((method) => [method, []]));
    for (let i = 0; i < work.count; i++, turns[side]++) {
      for (const method of work.methods) {
        const began = process.hrtime.bigint();
        await WORKS[method][side](call, project, work, turns[side]);
        took[method].push(Number(process.hrtime.bigint() - began) / 1e6);
      }
    }
    return took;
  }

  for (let round = 0; round <= work.rounds; round++) {
    // A new folder for each round, where the work asks for one that nobody has read yet.
    const [mine, others] = work.projects[round % work.projects.length];
    const a = await timed('theirs', theirs.call, others);
    const b = await timed('ours', ours.call, mine);
    // The first round warms both up.
    for (const method of round ? work.methods : []) {
      times[method].theirs.push(a[method]);
      times[method].ours.push(b[method]);
    }
  }
  refuseDifferent(...work.projects.at(-1));
  return times;
}

// Whatever was done, both sides must have the same shots in the same order with the same numbers.
function refuseDifferent(mine, others) {
  for (const name of fs.readdirSync(path.join(others, 'sequences')).slice(0, 2)) {
    const [one, other] = [mine, others].map((project) => {
      const { shots } = JSON.parse(fs.readFileSync(path.join(project, 'sequences', name), 'utf8'));
      return JSON.stringify(shots.map((shot) => [shot.id, shot.sequencePlanId, shot.number]));
    });
    if (one !== other) throw new Error(`the two sides have different shots in ${name}`);
  }
}

async function together(work, ours) {
  const [[project]] = work.projects;
  const rounds = { alone: [], together: [], lost: 0 };
  for (let round = 0; round <= work.rounds; round++) {
    const alone = [];
    for (let i = 0; i < work.count; i++) {
      const began = process.hrtime.bigint();
      await WORKS.updateShot.ours(ours.call, project, work);
      alone.push(Number(process.hrtime.bigint() - began) / 1e6);
    }
    const began = process.hrtime.bigint();
    await Promise.all(
      Array.from({ length: 64 }, (_, i) =>
        ours.call('sequence:update-shot', project, '001', `shot-${i}`, { note: `round ${round} ${i}` }),
      ),
    );
    const took = Number(process.hrtime.bigint() - began) / 1e6 / 64;
    const { shots } = await ours.call('sequence:get-shots', project, '001');
    rounds.lost += Array.from({ length: 64 }, (_, i) => shots[i].note !== `round ${round} ${i}`).filter(Boolean).length;
    if (round > 0) {
      rounds.alone.push(alone);
      rounds.together.push(took);
    }
  }
  return rounds;
}

const KINDS = { sideBySide, together: (work, _, ours) => together(work, ours), latencies, outside };

async function main() {
  let text = '';
  for await (const piece of process.stdin) text += piece;
  const job = JSON.parse(text);
  const ours = shotline(job);
  const theirs = incumbent();
  const answer = await KINDS[job.work.kind](job.work, theirs, ours);
  theirs.close();
  ours.close();
  process.stdout.write(JSON.stringify(answer), () => process.exit(0));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

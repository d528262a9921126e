// The opponent: the persistence that seed 001 describes, as an Electron main process would run it.
// A forked Node process that is called over its IPC channel. Neither atomic nor durable.
'use strict';
const fs = require('node:fs/promises');
const path = require('node:path');

const sequences = (project) => path.join(project, 'sequences');

async function fileOf(project, id) {
  return path.join(sequences(project), `sequence_${id}.json`);
}

async function read(project, id) {
  return JSON.parse(await fs.readFile(await fileOf(project, id), 'utf8'));
}

async function write(project, id, sequence) {
  sequence.metadata = { ...sequence.metadata, modified_at: new Date().toISOString() };
  await fs.writeFile(await fileOf(project, id), JSON.stringify(sequence, null, 2));
}

function indexOf(sequence, shotId) {
  const index = sequence.shots.findIndex((each) => each.id === shotId);
  if (index < 0) throw new Error(`no shot ${shotId}`);
  return index;
}

function renumber(sequence) {
  sequence.shots.forEach((shot, index) => (shot.number = index + 1));
}

const methods = {
  async updateShot(project, sequenceId, shotId, updates) {
    const sequence = await read(project, sequenceId);
    const shot = sequence.shots.find((each) => each.id === shotId);
    if (!shot) throw new Error(`no shot ${shotId}`);
    Object.assign(shot, updates);
    await write(project, sequenceId, sequence);
    return shot;
  },

  async createShot(project, sequenceId, shot, index) {
    const sequence = await read(project, sequenceId);
    const made = { id: shot.id, sequencePlanId: sequenceId, number: 0, ...shot };
    sequence.shots.splice(index, 0, made);
    renumber(sequence);
    await write(project, sequenceId, sequence);
    return made;
  },

  async deleteShot(project, sequenceId, shotId) {
    const sequence = await read(project, sequenceId);
    sequence.shots.splice(indexOf(sequence, shotId), 1);
    renumber(sequence);
    await write(project, sequenceId, sequence);
  },

  async moveShot(project, sequenceId, shotId, target, index) {
    const sequence = await read(project, sequenceId);
    const other = target === sequenceId ? sequence : await read(project, target);
    const [shot] = sequence.shots.splice(indexOf(sequence, shotId), 1);
    shot.sequencePlanId = target;
    other.shots.splice(index, 0, shot);
    renumber(sequence);
    if (other !== sequence) {
      renumber(other);
      await write(project, target, other); // first: a crash between the two leaves the shot twice, not nowhere
    }
    await write(project, sequenceId, sequence);
    return shot;
  },

  async getShots(project, sequenceId) {
    return (await read(project, sequenceId)).shots;
  },

  async getAll(project) {
    const names = (await fs.readdir(sequences(project))).filter((name) => /^sequence_.*\.json$/.test(name)).sort();
    return Promise.all(
      names.map(async (name) => JSON.parse(await fs.readFile(path.join(sequences(project), name), 'utf8'))),
    );
  },
};

process.on('message', async ({ call, method, args }) => {
  try {
    process.send({ call, value: await methods[method](...args) });
  } catch (error) {
    process.send({ call, error: String(error) });
  }
});

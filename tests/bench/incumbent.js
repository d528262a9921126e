// The opponent: the persistence that seed 001 describes, as an Electron main process would run it.
// A forked Node process that is called over its IPC channel. Neither atomic nor durable.
'use strict';
const fs = require('node:fs/promises');
const path = require('node:path');

const sequences = (project) => path.join(project, 'sequences');

async function fileOf(project, id) {
  return path.join(sequences(project), `sequence_${id}.json`);
}

const methods = {
  async updateShot(project, sequenceId, shotId, updates) {
    const file = await fileOf(project, sequenceId);
    const sequence = JSON.parse(await fs.readFile(file, 'utf8'));
    const shot = sequence.shots.find((each) => each.id === shotId);
    if (!shot) throw new Error(`no shot ${shotId}`);
    Object.assign(shot, updates);
    sequence.metadata = { ...sequence.metadata, modified_at: new Date().toISOString() };
    await fs.writeFile(file, JSON.stringify(sequence, null, 2));
    return shot;
  },

  async getShots(project, sequenceId) {
    return JSON.parse(await fs.readFile(await fileOf(project, sequenceId), 'utf8')).shots;
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
